//! The long form of the attack corpus: many hostile runs in a row.

use crate::Failure;
use crate::run::{cargo, show_and_run};

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
