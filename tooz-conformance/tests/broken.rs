//! The proof of the trials: each fault of the broken driver makes its trials fail, and without the fault they pass.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use tooz_conformance::broken::{DRIVER, Fault};
use tooz_conformance::{Harness, outcome};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most of these trials wait for something that never happens.
    arguments.test_threads.get_or_insert(16);
    // Most trials must fail here. Their messages are in the outcome.
    std::panic::set_hook(Box::new(|_| {}));
    let tests = Fault::ALL.iter().flat_map(|fault| {
        fault.detected_by.iter().map(move |trial| {
            let name = format!("{}_is_detected_by_{trial}", fault.name);
            Trial::test(name, move || is_detected(fault, trial))
        })
    });
    libtest_mimic::run(&arguments, tests.collect()).exit_code()
}

fn is_detected(fault: &Fault, trial: &str) -> Result<(), Failed> {
    outcome(Harness::in_process("correct", DRIVER, |word| format!("broken://{word}")), trial)
        .map_err(|failure| format!("expected: the trial passes without the fault\nactual: {failure}"))?;
    let name = fault.name;
    let broken = Harness::in_process("broken", DRIVER, move |word| format!("broken://{word}?fault={name}"));
    match outcome(broken, trial) {
        Ok(()) => Err("expected: the fault makes the trial fail\nactual: it passes".into()),
        Err(failure) if failure.is_ignored() => {
            Err(format!("expected: the trial runs\nactual: it is ignored: {failure}").into())
        }
        Err(_) => Ok(()),
    }
}
