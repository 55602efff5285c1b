//! `tooz completions` and `tooz manual`: files for shells and for `man`.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::exit::Result;
use crate::output::Printer;

/// Prints the completions for a shell.
#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn print(&self, mut program: Command, printer: Printer) -> Result<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "tooz", &mut script);
        printer.bytes(&script)?;
        Ok(0)
    }
}

/// Writes the manual pages, tooz.1 and one for each command, into a directory.
#[derive(Args, Debug)]
pub(crate) struct Manual {
    /// The directory, which exists.
    directory: std::path::PathBuf,
}

impl Manual {
    pub(crate) fn write(&self, program: Command) -> Result<u8> {
        clap_mangen::generate_to(program, &self.directory)?;
        Ok(0)
    }
}
