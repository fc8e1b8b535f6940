//! The lints: formatting, clippy without a warning, the same for Python by ruff, and what `deny.toml` says about
//! dependencies.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{cargo, in_ci, quiet, show_and_run};
use crate::venv::Venv;
use crate::{Failure, root, say, target};

/// A version of its own: what counts as well formatted changes with it.
const RUFF: &str = "ruff==0.17.*";

/// Runs all of them, whatever the first ones say. True when none complains.
pub(crate) fn run() -> Result<bool, Failure> {
    let format = show_and_run(&mut cargo(&["fmt", "--all", "--check"]))?;
    let mut clippy = cargo(&["clippy", "--workspace", "--all-targets"]);
    let clippy = show_and_run(clippy.args(["--", "-D", "warnings"]))?;
    let ruff = Venv::with("python/ruff", Path::new("python3"), &[RUFF])?.program("ruff");
    let ruff = |arguments: &[&str]| {
        let mut command = Command::new(&ruff);
        command.current_dir(root()).args(arguments).args(["python", "examples/mission"]);
        show_and_run(&mut command)
    };
    let (python, python_format) = (ruff(&["check", "--no-cache"])?, ruff(&["format", "--check", "--no-cache"])?);
    let deny = deny()?;
    let results =
        [("fmt", format), ("clippy", clippy), ("ruff", python), ("ruff format", python_format), ("deny", deny)];
    for (name, passed) in results {
        println!("{name}: {}", if passed { "ok" } else { "FAILED" });
    }
    Ok(results.iter().all(|(_, passed)| *passed))
}

/// The rules on dependencies. Without cargo-deny it is installed in CI, and elsewhere said to be missing.
fn deny() -> Result<bool, Failure> {
    let Some(program) = find_deny()? else {
        say("NOT RUN: deny, because cargo-deny is not installed: cargo install cargo-deny --locked");
        return Ok(!in_ci());
    };
    let check = |what: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(root()).args(["check", "--hide-inclusion-graph"]).args(what);
        command
    };
    let rules = show_and_run(&mut check(&["bans", "licenses", "sources"]))?;
    // The advisories are a git repository on another host: a machine that cannot reach it still has the other rules.
    let mut fetch = Command::new(&program);
    say("fetching the advisories");
    if !quiet(fetch.current_dir(root()).args(["fetch", "db"]))?.status.success() {
        say("NOT RUN: advisories, because their database cannot be fetched from here");
        return Ok(rules);
    }
    Ok(show_and_run(&mut check(&["advisories"]))? && rules)
}

fn find_deny() -> Result<Option<PathBuf>, Failure> {
    let own = target().join("tools/bin/cargo-deny");
    for program in [PathBuf::from("cargo-deny"), own.clone()] {
        if quiet(Command::new(&program).arg("--version")).is_ok_and(|run| run.status.success()) {
            return Ok(Some(program));
        }
    }
    if !in_ci() {
        return Ok(None);
    }
    say("installing cargo-deny into target/tools (minutes, once)");
    let mut install = cargo(&["install", "cargo-deny", "--locked", "--quiet", "--version", "^0.20"]);
    install.arg("--root").arg(target().join("tools"));
    Ok(show_and_run(&mut install)?.then_some(own))
}
