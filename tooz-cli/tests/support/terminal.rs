//! A terminal for `tooz top`: a tmux server of its own.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::program::{LIMIT, eventually};

/// A program in a terminal of 100 columns and 30 lines. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct Terminal {
    socket: String,
}

impl Terminal {
    /// Starts a shell command; `None` if tmux is not installed.
    pub(crate) fn start(command: &str) -> Option<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Command::new("tmux").arg("-V").output().ok()?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { socket: format!("tooz-test-{}-{count}", std::process::id()) };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", command]);
        Some(terminal)
    }

    pub(crate) fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    pub(crate) fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// Waits until the screen shows all of these.
    pub(crate) fn wait_for(&self, texts: &[&str]) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let screen = self.screen();
            if texts.iter().all(|text| screen.contains(text)) {
                return;
            }
            assert!(Instant::now() < deadline, "the screen lacks one of {texts:?}:\n{screen}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the program, and with it tmux, has ended.
    pub(crate) fn wait_for_end(&self) {
        eventually("the program in the terminal ends", || !self.tmux(&["has-session"]).status.success());
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        Command::new("tmux").args(["-L", &self.socket]).args(arguments).output().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
