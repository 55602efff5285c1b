//! The conformance suite on the memory driver, which is the reference.

use std::process::ExitCode;

use tooz_conformance::Harness;
use tooz_core::memory;

fn main() -> ExitCode {
    tooz_conformance::main(Harness::in_process("memory", memory::DRIVER, |word| format!("memory://{word}")))
}
