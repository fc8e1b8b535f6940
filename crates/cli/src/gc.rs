//! `agentic gc`: bounds what undo keeps.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use agentic_executor::workspace::Collected;
use serde_json::json;

use crate::args::GcArgs;
use crate::engine;
use crate::error::Result;
use crate::exit_code::ExitCode;
use crate::history::settings;

/// Megabytes that undo and the journal's large outputs may take, unless told otherwise.
pub(crate) const MOST: u64 = 4096;
/// How often a run looks.
const OFTEN: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn run(args: &GcArgs) -> Result<ExitCode> {
    let done = engine::collect(&settings()?.config.state, args.max_size, args.dry_run)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!(done))?;
    } else {
        writeln!(out, "{}", told(&done, args.dry_run))?;
    }
    Ok(ExitCode::Succeeded)
}

fn told(done: &Collected, dry_run: bool) -> String {
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / agentic_sandbox::MB as f64);
    let freed = megabytes(done.before.saturating_sub(done.after));
    let would = if dry_run { "would be freed" } else { "freed" };
    let mut text = format!("{freed} {would}; {} left.", megabytes(done.after));
    if done.records > 0 {
        let cannot = if dry_run { "could not" } else { "cannot" };
        text.push_str(&format!(" The {} oldest calls {cannot} be rolled back any more.", done.records));
    }
    text
}

/// After a run, once a day: nobody has to remember it. What goes wrong here is told the next time somebody asks.
pub(crate) fn now_and_then(state: &Path) {
    let mark = state.join("undo").join("collected");
    let last = mark.metadata().and_then(|found| found.modified());
    let recent = last.is_ok_and(|last| SystemTime::now().duration_since(last).is_ok_and(|age| age < OFTEN));
    if recent || !state.join("undo").is_dir() || std::fs::write(&mark, []).is_err() {
        return;
    }
    let _ = engine::collect(state, MOST, false);
}
