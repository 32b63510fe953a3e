//! The program as it is run: what it exits with, and what goes to which of its outputs. (Being there, this lets
//! `cargo test --workspace` build the program too, which the lab takes.)

use std::process::{Command, Output, Stdio};

fn command(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(words.split_whitespace());
    command
}

fn run(words: &str) -> Output {
    command(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_is_asked_for_goes_to_standard_output() {
    for words in ["help", "trace --help", "--version", "completion bash"] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(0), "{words}");
        assert!(text(&output.stdout).contains("sluice"), "{words}");
        assert_eq!(text(&output.stderr), "", "{words}");
    }
}

#[test]
fn a_word_that_is_no_command_is_named() {
    for words in ["sesions", "ports --nmae x", "trace --to 192.0.2.1"] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert_eq!(text(&output.stdout), "", "{words}");
        assert!(text(&output.stderr).contains("Usage:"), "{words}");
    }
    assert!(text(&run("sesions").stderr).contains("'sessions'"));
}

#[test]
fn what_fails_is_said_on_standard_error() {
    let output = run("ports --socket /nowhere/none.sock");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let told = text(&output.stderr);
    assert!(
        told.starts_with("sluice: ") && told.contains("/nowhere/none.sock"),
        "{told}"
    );
}

/// `sluice completion bash | head -1`: whoever reads has seen enough.
#[test]
fn a_reader_that_goes_is_no_error() {
    let mut child = command("completion bash")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(0), String::new())
    );
}
