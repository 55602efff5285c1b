//! What the tests share: sessions on a directory, entries, and child processes that hold them.
#![allow(dead_code, clippy::unwrap_used, reason = "tests, of which each file uses a part")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use tooz_core::driver::{
    IfBlocked, Key, Kind, Mode, NewEntry, Nonce, Roster, Session, SessionOptions, Standing, Ticket,
};
use tooz_core::{Name, Registry, Result};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn try_open(directory: &Path, timeout: Duration) -> Result<Box<dyn Session>> {
    let url = format!("file://{}", directory.display()).parse()?;
    let driver = Registry::with([tooz_file::DRIVER]).driver(&url)?;
    let (namespace, member) = ("test".to_owned(), Name::new("tester")?);
    driver.open(&SessionOptions::new(namespace, member, Duration::from_secs(10), timeout)).await
}

pub(crate) async fn open(directory: &Path) -> Box<dyn Session> {
    try_open(directory, TIMEOUT).await.unwrap()
}

pub(crate) fn lock(name: &str) -> Roster {
    Roster { kind: Kind::Lock, name: Name::new(name).unwrap() }
}

pub(crate) fn group(name: &str) -> Roster {
    Roster { kind: Kind::Group, name: Name::new(name).unwrap() }
}

pub(crate) fn entry(mode: Mode) -> NewEntry<'static> {
    let (if_blocked, needs_declared, limit) = (IfBlocked::Wait, false, NonZeroU32::MIN);
    NewEntry { nonce: Nonce::random(), key: Key::Nonce, mode, limit, if_blocked, needs_declared, value: b"" }
}

pub(crate) fn exclusive() -> NewEntry<'static> {
    entry(Mode::Exclusive)
}

pub(crate) fn admitted(standing: Standing) -> Ticket {
    match standing {
        Standing::Admitted(ticket) => ticket,
        other => panic!("not admitted: {other:?}"),
    }
}

pub(crate) fn waiting(standing: Standing) -> Ticket {
    match standing {
        Standing::Waiting { ticket, .. } => ticket,
        other => panic!("not waiting: {other:?}"),
    }
}

/// A child process that runs the ignored test `name` of this binary, and speaks with it line by line.
pub(crate) struct Holder {
    pub(crate) child: Child,
    pub(crate) stdin: ChildStdin,
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    pub(crate) fn start(name: &str, directory: &Path) -> Self {
        Self::spawn(&mut Command::new(std::env::current_exe().unwrap()), name, directory)
    }

    /// As [`start`](Self::start), with at most 512 KiB a file.
    pub(crate) fn start_with_small_files(name: &str, directory: &Path) -> Self {
        let limited = "trap '' XFSZ; ulimit -S -f 1024; exec \"$0\" \"$@\"";
        Self::spawn(Command::new("sh").args(["-c", limited]).arg(std::env::current_exe().unwrap()), name, directory)
    }

    /// As [`start`](Self::start), through a shell that runs `prelude` first and passes the rest of its arguments on.
    pub(crate) fn start_in_shell(prelude: &str, program: &Path, name: &str, directory: &Path) -> Self {
        let script = format!("{prelude} \"$0\" \"$@\"");
        Self::spawn(Command::new("sh").args(["-c", &script]).arg(program), name, directory)
    }

    pub(crate) fn spawn(command: &mut Command, name: &str, directory: &Path) -> Self {
        let mut child = command
            .args([name, "--exact", "--ignored", "--nocapture", "--quiet"])
            .env("TOOZ_TEST_DIRECTORY", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, stdin, lines: BufReader::new(stdout).lines() }
    }

    /// Waits until the child prints `word`, and returns the rest of the line.
    pub(crate) fn expect(&mut self, word: &str) -> String {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if let Some(rest) = line.split_once(word) {
                return rest.1.trim().to_owned();
            }
        }
        panic!("the child ended before it said {word:?}");
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // The test may have ended it already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory that a child was started with.
pub(crate) fn directory() -> std::path::PathBuf {
    std::env::var_os("TOOZ_TEST_DIRECTORY").expect("only a test starts this").into()
}

/// Waits for the next line from the test, or its end.
pub(crate) fn read_line() -> Option<String> {
    let mut line = String::new();
    (std::io::stdin().read_line(&mut line).unwrap() > 0).then(|| line.trim().to_owned())
}
