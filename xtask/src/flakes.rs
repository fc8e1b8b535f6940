//! The long form of the proof that flaky tests are found: a suite with seeded flakes, 200 times.

use crate::{Failure, long, say};

/// Runs, where nobody says otherwise.
const RUNS: &str = "200";

/// Runs the suite `--runs N` times. True when every verdict was right.
pub(crate) fn run(arguments: &[String]) -> Result<bool, Failure> {
    let runs = match arguments {
        [] => RUNS,
        [flag, runs] if flag == "--runs" && runs.parse::<u64>().is_ok() => runs,
        _ => return Err(format!("flakes takes `--runs N`, and no `{}`", arguments.join(" "))),
    };
    say(format!("{runs} runs of the suite"));
    long::run(&["agentic-cli"], &["test_flakes"], &[("AGENTIC_FLAKE_RUNS", runs)])
}
