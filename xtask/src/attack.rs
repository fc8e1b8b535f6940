//! The long forms of the attack corpus: its results as a page, many hostile runs in a row, and every barrier removed in
//! turn.

use crate::run::{cargo, show_and_run};
use crate::{Failure, example};

mod results;

/// Runs the corpus in both tiers and every barrier removed, and writes `docs/reference/attack-results.md`.
pub(crate) fn write_results() -> Result<bool, Failure> {
    results::write()
}

/// What a soak is, where nobody says otherwise.
const RUNS: &str = "20000";

/// Runs `--runs N` attempts, eight at once. True when nothing was left and every verdict was right.
pub(crate) fn soak(arguments: &[String]) -> Result<bool, Failure> {
    let runs = match arguments {
        [] => RUNS,
        [flag, runs] if flag == "--runs" && runs.parse::<usize>().is_ok() => runs,
        _ => return Err(format!("soak takes `--runs N`, and no `{}`", arguments.join(" "))),
    };
    show_and_run(&mut cargo(&["build", "--package", "agentic-sandbox"]))?;
    let mut soak = cargo(&["test", "--package", "agentic-attack", "--test", "soak", "--", "--nocapture"]);
    show_and_run(soak.env("AGENTIC_SOAK_RUNS", runs))
}

/// Removes every barrier in turn, one after the other. True when some attempt noticed each.
pub(crate) fn mutate() -> Result<bool, Failure> {
    let weakened = example::build_weakened()?;
    let mut mutate = cargo(&["test", "--package", "agentic-attack", "--test", "mutation", "--", "--nocapture"]);
    show_and_run(mutate.env("AGENTIC_WEAKENED_SPAWNER", weakened).env("AGENTIC_MUTATE", "all"))
}
