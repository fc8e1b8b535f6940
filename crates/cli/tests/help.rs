//! What the program says about itself, quickly and without a home.

mod scene;

use std::process::Command;
use std::time::{Duration, Instant};

use scene::Scene;

const COMMANDS: [&str; 15] = [
    "run",
    "plan",
    "exec",
    "tool",
    "edit",
    "test",
    "migrate",
    "runs",
    "show",
    "diff",
    "rollback",
    "resume",
    "gc",
    "doctor",
    "completions",
];

#[test]
fn every_command_has_help_with_examples() {
    let scene = Scene::new();
    let mut helps: Vec<Vec<&str>> = COMMANDS.iter().map(|name| vec![*name, "--help"]).collect();
    helps.extend(["list", "schema", "call"].map(|name| vec!["tool", name, "--help"]));
    for args in helps {
        let seen = scene.run(&args);
        seen.ends(0).prints("Examples:").prints("Usage: agentic");
        assert!(seen.stderr.is_empty(), "{args:?}: {}", seen.stderr);
    }
    scene.run(["--help"]).ends(0).prints("Exit status");
}

#[test]
fn nothing_that_comes_later_is_offered() {
    let help = Scene::new().run(["--help"]).stdout;
    for name in ["session", "agent ", "mcp", "bench"] {
        assert!(!help.contains(&format!("\n  {name}")), "{name} is offered: {help}");
    }
    Scene::new().run(["run", "x", "--staged"]).ends(2);
}

#[test]
fn the_version_needs_no_home_and_no_time() {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let output = Command::new(agentic_testkit::agentic_binary()).arg("--version").env_clear().output().unwrap();
        best = best.min(start.elapsed());
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout), concat!("agentic ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    // The figure for a release build is 10 ms; a debug build on a busy machine gets more.
    assert!(best < Duration::from_millis(250), "--version took {best:?}");
}

#[test]
fn completions_are_scripts() {
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef agentic"), ("fish", "complete -c agentic")] {
        Scene::new().run(["completions", shell]).ends(0).prints(word);
    }
    Scene::new().run(["completions", "cmd.exe"]).ends(2);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scene = Scene::new();
    let mut child = scene
        .command(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}
