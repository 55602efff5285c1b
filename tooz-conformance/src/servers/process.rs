//! A server run as a plain program, guarded by a small shell that ends it when the test process is gone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::spec::Launch;

/// Runs the program, then obeys signal names on its standard input, until `end` or the end of file. Then the program is
/// killed; without an `end` the test process is gone, and nobody else would remove the data. The shell does not wait meanwhile, so the pid stays its own. Descriptor 3 is what
/// was the shell's output: whoever reads it sees the end of file when the program is gone. Each order is acknowledged
/// on the shell's standard error.
const GUARD: &str = r#"
"$@" </dev/null 3>&1 >>"$TOOZ_SERVER_HOME/server.log" 2>&1 &
server=$!
exec >/dev/null
while read -r order; do
  [ "$order" = end ] && break
  kill -s "$order" "$server" 2>/dev/null
  echo sent >&2
done
exec 2>/dev/null
kill -s KILL "$server"
wait "$server"
[ "$order" = end ] || rm -rf "$TOOZ_SERVER_HOME"
"#;

/// One program with its data directory; it may be started again after it ended.
#[derive(Debug)]
pub(crate) struct Process {
    program: PathBuf,
    launch: Launch,
    home: TempDir,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    guard: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStderr>,
    ended: JoinHandle<()>,
}

impl Process {
    /// A fresh data directory, in memory where the system has a place for that.
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

    /// Writes the files; nothing runs yet.
    pub(crate) fn prepare(program: PathBuf, home: TempDir, launch: Launch) -> io::Result<Self> {
        for (name, content) in &launch.files {
            let path = home.path().join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, content)?;
        }
        File::create(home.path().join("server.log"))?;
        Ok(Self { program, launch, home, running: None })
    }

    /// Starts the program.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&self.program)
            .args(&self.launch.args)
            .envs(self.launch.env.iter().map(|(name, value)| (name, value)))
            .env("TOOZ_SERVER_HOME", self.home.path())
            .current_dir(self.home.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = (guard.stdin.take(), guard.stdout.take(), guard.stderr.take());
        let (Some(orders), Some(mut output), Some(answers)) = pipes else {
            return Err(io::Error::other("the guard has no pipes"));
        };
        let answers = BufReader::new(answers);
        let ended = tokio::spawn(async move { while matches!(output.read(&mut [0; 64]).await, Ok(1..)) {} });
        self.running = Some(Running { guard, orders, answers, ended });
        Ok(())
    }

    /// Whether the program still runs (a paused one does).
    pub(crate) fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.ended.is_finished())
    }

    /// Sends a signal by its name, without `SIG`.
    pub(crate) async fn signal(&mut self, name: &str) -> io::Result<()> {
        let running = self.running.as_mut().ok_or_else(|| io::Error::other("the server does not run"))?;
        running.orders.write_all(format!("{name}\n").as_bytes()).await?;
        running.orders.flush().await?;
        running.answers.read_line(&mut String::new()).await.map(drop)
    }

    /// Kills the program with SIGKILL, also a paused one, and waits for its end.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        if let Some(mut running) = self.running.take() {
            running.orders.write_all(b"end\n").await?;
            running.orders.flush().await?;
            running.guard.wait().await?;
        }
        Ok(())
    }

    /// Asks the program to end and waits; after `limit` it is killed.
    pub(crate) async fn stop(&mut self, limit: Duration) -> io::Result<()> {
        self.signal("TERM").await?;
        if let Some(running) = self.running.as_mut() {
            // Whoever does not end in time is killed below.
            timeout(limit, &mut running.ended).await.ok();
        }
        self.kill().await
    }

    /// The end of what the program wrote.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.home.path().join("server.log")).unwrap_or_default();
        let from = log.len().saturating_sub(2000);
        String::from_utf8_lossy(&log[from..]).into_owned()
    }
}
