//! The long form of the proofs of undo: many random cases, as root and as an ordinary user.

use crate::{Failure, long, say};

/// Cases of each test, where nobody says otherwise.
const CASES: &str = "2500";
/// `undo_random` has four tests.
const PROGRAMS: &[&str] = &["undo_random", "undo_outsiders", "undo_bounded", "staged_random"];

/// Runs `--cases N` of each test. True when none failed.
pub(crate) fn run(arguments: &[String]) -> Result<bool, Failure> {
    let cases = match arguments {
        [] => CASES,
        [flag, cases] if flag == "--cases" && cases.parse::<u64>().is_ok() => cases,
        _ => return Err(format!("undo takes `--cases N`, and no `{}`", arguments.join(" "))),
    };
    say(format!("{cases} cases of each test"));
    long::run(&["agentic-executor"], PROGRAMS, &[("AGENTIC_UNDO_CASES", cases)])
}
