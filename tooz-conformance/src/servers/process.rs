//! A server run as a plain program, under a small shell that ends it when the test process ends.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::spec::Launch;

/// The shell starts the program. It reads signal names from its standard input and sends these signals to the program. When
/// it reads `end` or the end of the input, it kills the program.
///
/// - A server may be many processes, so STOP, CONT and KILL go to all that descend from the program. The first one stops
///   first, so that it starts no others meanwhile.
/// - Without an `end` the test process itself has ended, so the shell removes the data too.
/// - The shell does not wait for the program before that, so the program's pid is not reused.
/// - The program inherits the shell's output as descriptor 3: a reader sees its end when all processes have ended.
/// - The shell acknowledges each signal on its standard error.
const SHELL: &str = r#"
tree() {
  echo "$1"
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do tree "$child"; done
}
"$@" </dev/null 3>&1 >>"$TOOZ_SERVER_HOME/server.log" 2>&1 &
server=$!
exec >/dev/null
while read -r word; do
  [ "$word" = end ] && break
  kill -s "$word" "$server" 2>/dev/null
  case $word in STOP | CONT) kill -s "$word" $(tree "$server") 2>/dev/null ;; esac
  echo sent >&2
done
exec 2>/dev/null
kill -s STOP "$server"
kill -s KILL $(tree "$server")
wait "$server"
[ "$word" = end ] || rm -rf "$TOOZ_SERVER_HOME"
"#;

/// How long the last process of a killed server may take to end.
const ENDING: Duration = Duration::from_secs(5);

/// One program with its data directory. It can be started again after it ended.
#[derive(Debug)]
pub(crate) struct Process {
    command: Vec<String>,
    launch: Launch,
    home: TempDir,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    shell: Child,
    signals: ChildStdin,
    acknowledgements: BufReader<ChildStderr>,
    ended: JoinHandle<()>,
}

impl Process {
    /// A new data directory, in memory where the system has `/dev/shm`.
    pub(crate) fn home() -> io::Result<TempDir> {
        let memory = Path::new("/dev/shm");
        let builder = || tempfile::Builder::new().prefix("tooz-server-").to_owned();
        if memory.is_dir()
            && let Ok(home) = builder().tempdir_in(memory)
        {
            return Ok(home);
        }
        builder().tempdir()
    }

    /// Writes the files. The program does not run yet.
    pub(crate) fn prepare(command: Vec<String>, home: TempDir, launch: Launch) -> io::Result<Self> {
        for (name, content) in &launch.files {
            let path = home.path().join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, content)?;
        }
        File::create(home.path().join("server.log"))?;
        Ok(Self { command, launch, home, running: None })
    }

    /// Starts the program.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        let mut shell = Command::new("sh")
            .args(["-c", SHELL, "shell"])
            .args(&self.command)
            .envs(self.launch.env.iter().map(|(name, value)| (name, value)))
            .env("TOOZ_SERVER_HOME", self.home.path())
            .current_dir(self.home.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = (shell.stdin.take(), shell.stdout.take(), shell.stderr.take());
        let (Some(signals), Some(mut output), Some(acknowledgements)) = pipes else {
            return Err(io::Error::other("the shell has no pipes"));
        };
        let acknowledgements = BufReader::new(acknowledgements);
        let ended = tokio::spawn(async move { while matches!(output.read(&mut [0; 64]).await, Ok(1..)) {} });
        self.running = Some(Running { shell, signals, acknowledgements, ended });
        Ok(())
    }

    /// Whether the program still runs. A paused program runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.ended.is_finished())
    }

    /// Sends a signal by its name, without `SIG`.
    pub(crate) async fn signal(&mut self, name: &str) -> io::Result<()> {
        let running = self.running.as_mut().ok_or_else(|| io::Error::other("the server does not run"))?;
        running.signals.write_all(format!("{name}\n").as_bytes()).await?;
        running.signals.flush().await?;
        running.acknowledgements.read_line(&mut String::new()).await.map(drop)
    }

    /// Kills the program with SIGKILL, even if it is paused, and waits for the end of all its processes.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        if let Some(mut running) = self.running.take() {
            running.signals.write_all(b"end\n").await?;
            running.signals.flush().await?;
            running.shell.wait().await?;
            // A descendant that outlives its parent for a moment still holds the server's memory and ports.
            if !running.ended.is_finished() {
                timeout(ENDING, running.ended).await.ok();
            }
        }
        Ok(())
    }

    /// Asks the program to end and waits. After `limit` the program is killed.
    pub(crate) async fn stop(&mut self, signal: &str, limit: Duration) -> io::Result<()> {
        self.signal(signal).await?;
        if let Some(running) = self.running.as_mut() {
            // A program that does not end in time is killed below.
            timeout(limit, &mut running.ended).await.ok();
        }
        self.kill().await
    }

    /// Runs a shell script in the data directory.
    pub(crate) async fn shell(&self, script: &str) -> io::Result<()> {
        let output = Command::new("sh").args(["-c", script]).current_dir(self.home.path()).output().await?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }

    /// The end of the program's log.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.home.path().join("server.log")).unwrap_or_default();
        let from = log.len().saturating_sub(2000);
        String::from_utf8_lossy(&log[from..]).into_owned()
    }
}
