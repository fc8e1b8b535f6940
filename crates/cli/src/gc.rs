//! `agentic gc`: bounds what undo keeps.

use std::io::Write;

use agentic_executor::workspace::Collected;
use serde_json::json;

use crate::args::GcArgs;
use crate::engine::{Engine, Parts};
use crate::error::Result;
use crate::exit_code::ExitCode;
use crate::history::settings;

/// Megabytes that undo and the journal's large outputs may take, unless told otherwise.
pub(crate) const MOST: u64 = agentic_executor::executor::MOST_KEPT / agentic_sandbox::MB;

pub(crate) fn run(args: &GcArgs) -> Result<ExitCode> {
    let settings = settings()?;
    // What is not there needs no bounds, and is not made for that.
    let done = if settings.config.state.exists() {
        let engine = Engine::new(&settings, Parts { journal: true, ..Parts::default() })?;
        engine.collect(args.max_size, args.dry_run)?
    } else {
        Collected::default()
    };
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
    if done.layers > 0 {
        let layers = if done.layers == 1 { "1 layer".to_owned() } else { format!("{} layers", done.layers) };
        text.push_str(&format!(" {layers} that killed processes left {would}."));
    }
    text
}
