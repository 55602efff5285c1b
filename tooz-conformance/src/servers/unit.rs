//! A server's process or container, with the same methods for both.

use std::io;
use std::time::Duration;

use tempfile::TempDir;

use super::container::Container;
use super::process::Process;
use super::provision::Provision;
use super::spec::{Launch, Product};

/// How long a server may take to stop by itself.
const STOP: Duration = Duration::from_secs(10);

/// The process or container that runs a node.
#[derive(Debug)]
pub(crate) enum Unit {
    Process(Box<Process>),
    Container(Box<Container>),
}

impl Unit {
    /// Starts a server for the first time. `home` is the data directory of a program.
    pub(crate) async fn launch(
        product: &'static Product,
        provision: &Provision,
        home: Option<TempDir>,
        launch: Launch,
    ) -> io::Result<Self> {
        match (provision, home) {
            (Provision::Program(path), Some(home)) => {
                let mut process = Process::prepare(path.clone(), home, launch)?;
                process.start()?;
                Ok(Self::Process(Box::new(process)))
            }
            // An image has the program on its own PATH, which may differ from the host's.
            (Provision::Container(image), _) => {
                Container::start_new(image, product.programs[0], &launch).await.map(Box::new).map(Self::Container)
            }
            _ => Err(io::Error::other("a server behind a URL cannot be launched by the suite")),
        }
    }

    pub(crate) async fn start(&mut self) -> io::Result<()> {
        match self {
            Self::Process(process) => process.start(),
            Self::Container(container) => container.start().await,
        }
    }

    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        match self {
            Self::Process(process) => process.kill().await,
            Self::Container(container) => container.kill().await,
        }
    }

    pub(crate) async fn pause(&mut self) -> io::Result<()> {
        match self {
            Self::Process(process) => process.signal("STOP").await,
            Self::Container(container) => container.pause().await,
        }
    }

    pub(crate) async fn resume(&mut self) -> io::Result<()> {
        match self {
            Self::Process(process) => process.signal("CONT").await,
            Self::Container(container) => container.resume().await,
        }
    }

    pub(crate) async fn stop(&mut self) -> io::Result<()> {
        match self {
            Self::Process(process) => process.stop(STOP).await,
            Self::Container(container) => container.stop(STOP).await,
        }
    }

    /// Runs a shell script in the data directory.
    pub(crate) async fn shell(&mut self, script: &str) -> io::Result<()> {
        match self {
            Self::Process(process) => process.shell(script).await,
            Self::Container(container) => container.shell(script).await,
        }
    }

    pub(crate) async fn is_running(&mut self) -> bool {
        match self {
            Self::Process(process) => process.is_running(),
            Self::Container(container) => container.is_running().await,
        }
    }

    pub(crate) async fn log(&mut self) -> String {
        match self {
            Self::Process(process) => process.log(),
            Self::Container(container) => container.log().await,
        }
    }

    pub(crate) async fn remove(self) -> io::Result<()> {
        match self {
            Self::Process(mut process) => process.kill().await,
            Self::Container(container) => container.remove().await,
        }
    }
}
