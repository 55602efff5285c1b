//! The suite's own proof: each fault makes the trials fail that are there to notice it, and without it they pass.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use tooz_conformance::broken::{DRIVER, Fault};
use tooz_conformance::{Harness, outcome};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait for what never comes, most of the time.
    arguments.test_threads.get_or_insert(16);
    // Most trials fail here, as they should; what they say is in their outcome.
    std::panic::set_hook(Box::new(|_| {}));
    let tests = Fault::ALL.iter().flat_map(|fault| {
        fault.noticed_by.iter().map(move |trial| {
            let name = format!("{}_is_noticed_by_{trial}", fault.name);
            Trial::test(name, move || is_noticed(fault, trial))
        })
    });
    libtest_mimic::run(&arguments, tests.collect()).exit_code()
}

fn is_noticed(fault: &Fault, trial: &str) -> Result<(), Failed> {
    outcome(Harness::in_process("sound", DRIVER, |word| format!("broken://{word}")), trial)
        .map_err(|failure| format!("it fails without the fault too: {failure}"))?;
    let name = fault.name;
    let broken = Harness::in_process("broken", DRIVER, move |word| format!("broken://{word}?fault={name}"));
    match outcome(broken, trial) {
        Ok(()) => Err("it passes all the same".into()),
        Err(failure) if failure.is_ignored() => Err(format!("it was ignored: {failure}").into()),
        Err(_) => Ok(()),
    }
}
