//! A server's process or container, with the same methods for both.

use std::io;
use std::time::Duration;

use tempfile::TempDir;

use super::container::{Container, DATA};
use super::process::Process;
use super::provision::Provision;
use super::spec::{Launch, Product, TERM};

/// How long a server may take to stop by itself.
const STOP: Duration = Duration::from_secs(10);

/// Runs a server as another user and prepares its data directory, then becomes the server.
///
/// Its parameters are the data directory, the user or nothing, the preparation, and the program with its arguments.
const PRELUDE: &str = r#"
data=$1 user=$2 prepare=$3
shift 3
program=$(command -v "$1")
PATH=$(dirname "$(readlink -f "$program")"):$PATH
as=
if [ -n "$user" ] && [ "$(id -u)" = 0 ]; then
  chown -R "$user" "$data"
  as="setpriv --reuid=$user --regid=$user --init-groups"
fi
cd "$data" || exit 1
if ! [ -e prepared ]; then
  $as sh -c "$prepare" || exit 1
  touch prepared
fi
exec $as "$@"
"#;

/// The process or container that runs a node.
#[derive(Debug)]
pub(crate) struct Unit {
    product: &'static Product,
    form: Form,
}

#[derive(Debug)]
enum Form {
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
        let form = match (provision, home) {
            (Provision::Program(path), Some(home)) => {
                let command =
                    command(product, &path.display().to_string(), &home.path().display().to_string(), &launch);
                let mut process = Process::prepare(command, home, launch)?;
                process.start()?;
                Form::Process(Box::new(process))
            }
            // An image has the program on its own PATH, which may differ from the host's.
            (Provision::Container(image), _) => {
                let command = command(product, product.programs[0], DATA, &launch);
                Form::Container(Box::new(Container::start_new(image, command, &launch).await?))
            }
            _ => return Err(io::Error::other("a server behind a URL cannot be launched by the suite")),
        };
        Ok(Self { product, form })
    }

    pub(crate) async fn start(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Process(process) => process.start(),
            Form::Container(container) => container.start().await,
        }
    }

    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Process(process) => process.kill().await,
            Form::Container(container) => container.kill().await,
        }
    }

    pub(crate) async fn pause(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Process(process) => process.signal("STOP").await,
            Form::Container(container) => container.pause().await,
        }
    }

    pub(crate) async fn resume(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Process(process) => process.signal("CONT").await,
            Form::Container(container) => container.resume().await,
        }
    }

    pub(crate) async fn stop(&mut self) -> io::Result<()> {
        let signal = self.product.stop_signal;
        match &mut self.form {
            Form::Process(process) => process.stop(signal, STOP).await,
            Form::Container(container) => container.stop(signal, STOP).await,
        }
    }

    /// Runs a shell script in the data directory.
    pub(crate) async fn shell(&mut self, script: &str) -> io::Result<()> {
        match &mut self.form {
            Form::Process(process) => process.shell(script).await,
            Form::Container(container) => container.shell(script).await,
        }
    }

    pub(crate) async fn is_running(&mut self) -> bool {
        match &mut self.form {
            Form::Process(process) => process.is_running(),
            Form::Container(container) => container.is_running().await,
        }
    }

    pub(crate) async fn log(&mut self) -> String {
        match &mut self.form {
            Form::Process(process) => process.log(),
            Form::Container(container) => container.log().await,
        }
    }

    pub(crate) async fn remove(self) -> io::Result<()> {
        match self.form {
            Form::Process(mut process) if self.product.stop_signal == TERM || !process.is_running() => {
                process.kill().await
            }
            Form::Process(mut process) => {
                process.signal("CONT").await?;
                process.stop(self.product.stop_signal, STOP).await
            }
            Form::Container(container) => container.remove().await,
        }
    }
}

/// The command that runs a server.
fn command(product: &Product, program: &str, data: &str, launch: &Launch) -> Vec<String> {
    let mut command = Vec::new();
    if product.user.is_some() || !launch.prepare.is_empty() {
        let prelude = ["sh", "-c", PRELUDE, "prelude", data, product.user.unwrap_or_default(), &launch.prepare];
        command.extend(prelude.map(str::to_owned));
    }
    command.push(program.to_owned());
    command.extend(launch.args.iter().cloned());
    command
}
