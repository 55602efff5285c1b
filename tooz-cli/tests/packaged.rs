//! What is packaged with the program: the unit for systemd, the completions and the manual pages.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tooz");

fn tooz(arguments: &[&str]) -> Output {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

#[test]
fn systemd_accepts_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    // The program is not installed, so its path in the unit is that of the build.
    let unit = include_str!("../packaging/tooz-lead@.service").replace("/usr/local/bin/tooz ", &format!("{PROGRAM} "));
    let file = directory.path().join("tooz-lead@scheduler.service");
    fs::write(&file, unit).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&file).output() {
        Ok(output) => assert!(output.status.success() && output.stderr.is_empty(), "{output:?}"),
        Err(_) => eprintln!("systemd-analyze is not installed, so the unit was not verified"),
    }
}

#[test]
fn each_shell_has_completions_for_each_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = String::from_utf8(tooz(&["completions", shell]).stdout).unwrap();
        for word in ["run", "lead", "once", "doctor", "on-loss"] {
            assert!(script.contains(word), "the completions for {shell} lack {word}");
        }
    }
}

#[test]
fn bash_completes_a_command() {
    let script = "source <(\"$0\" completions bash); COMP_WORDS=(tooz do); COMP_CWORD=1; _tooz tooz do tooz; echo ${COMPREPLY[@]}";
    let output = Command::new("bash").args(["-c", script, PROGRAM]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        "doctor",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn each_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    tooz(&["manual", directory.path().to_str().unwrap()]);
    for page in ["tooz.1", "tooz-run.1", "tooz-lead.1", "tooz-lock-break.1"] {
        let text = fs::read_to_string(directory.path().join(page)).unwrap();
        assert!(text.starts_with(".ie") && text.contains(".SH SYNOPSIS"), "{page}: {text}");
    }
    let run = fs::read_to_string(directory.path().join("tooz-run.1")).unwrap();
    assert!(run.contains("Exit codes"), "the manual has the exit codes");
    assert!(!directory.path().join("tooz-exec.1").exists(), "a hidden command has no page");
}
