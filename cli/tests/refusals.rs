//! What a person sees when something is wrong: one line, and a status that scripts notice.

#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

use std::process::{Command, Output};

fn tinectl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinectl"));
    command.env_remove("TINE_CONTROLLER").args(arguments).output().unwrap()
}

fn refusal(arguments: &[&str]) -> String {
    let output = tinectl(arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

#[test]
fn without_a_controller_the_line_names_the_socket_and_the_cure() {
    let socket = "unix:///nonexistent/admin.sock";
    for command in [&["get", "backend"][..], &["get", "node"], &["version"], &["delete", "backend", "b"]] {
        let line = refusal(&[&["--controller", socket], command].concat());
        assert!(
            line.starts_with("tinectl: no controller answers at unix:///nonexistent/admin.sock"),
            "{line}"
        );
        assert!(line.contains("start tine-controller, or name its admin socket"), "{line}");
    }
}

#[test]
fn an_unusable_argument_is_found_before_anyone_is_asked() {
    let line = refusal(&["create", "backend", "-f", "/nonexistent/backend.json"]);
    assert!(line.contains("/nonexistent/backend.json cannot be read"), "{line}");
    let line = refusal(&["--controller", "run/admin.sock", "get", "volume"]);
    assert!(line.contains("write unix:///absolute/path"), "{line}");
}

#[test]
fn the_environment_names_the_socket() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinectl"));
    let output =
        command.env("TINE_CONTROLLER", "unix:///nonexistent/x.sock").args(["get", "volume"]).output();
    assert!(String::from_utf8(output.unwrap().stderr).unwrap().contains("unix:///nonexistent/x.sock"));
}
