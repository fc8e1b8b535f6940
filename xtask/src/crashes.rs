//! The long form of what claims durability: runs that are killed at every event and at many random moments, and a disk that
//! fails at every call, as root and as an ordinary user.

use crate::{Failure, long};

/// Runs that are killed, where nobody says otherwise.
const KILLS: &str = "1000";
const PROGRAMS: &[&str] = &["resume", "kills", "faults", "full_disk"];

/// Kills `--kills N` runs. True when everything came to what an undisturbed run leaves.
pub(crate) fn run(arguments: &[String]) -> Result<bool, Failure> {
    let kills = match arguments {
        [] => KILLS,
        [flag, kills] if flag == "--kills" && kills.parse::<u64>().is_ok() => kills,
        _ => return Err(format!("crashes takes `--kills N`, and no `{}`", arguments.join(" "))),
    };
    let variables = [("AGENTIC_KILLS", kills), ("AGENTIC_FAULTS_ALL", "1"), ("AGENTIC_RESUME_ALL", "1")];
    long::run(&["agentic-executor", "agentic-cli"], PROGRAMS, &variables)
}
