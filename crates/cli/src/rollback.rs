//! `agentic rollback`: takes back what a run did.

use std::io::Write;
use std::path::Path;

use agentic_executor::executor::workspace_of;
use agentic_executor::workspace::{ChangeKind, LeftOut, RollBack, path_on_a_line, plain_path};
use serde_json::json;

use crate::args::RollbackArgs;
use crate::engine::{self, Engine, Parts};
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::history::{check_run, settings};
use crate::terminal::{Appearance, Colour};

/// Paths that are listed.
const MOST: usize = 200;

pub(crate) fn run(args: &RollbackArgs) -> Result<ExitCode> {
    check_run(&args.run)?;
    let mut settings = settings()?;
    let here = settings.config.workspace.clone();
    let events = engine::events(&settings.config.state, &args.run)?;
    let (Some(first), Some(workspace)) = (events.first(), workspace_of(&events)) else {
        return Err(Failure::failed(format!("run `{}` has no beginning in the journal", args.run)));
    };
    settings.config.workspace = workspace.to_owned();
    let how = RollBack {
        only: args.paths.iter().map(|path| plain_path(&here.join(path))).collect(),
        dry_run: args.dry_run,
        force: args.force,
        ..RollBack::default()
    };
    let engine = Engine::new(&settings, Parts { journal: true, ..Parts::default() })?;
    let rolled = engine.roll_back(&first.run, args.to.as_deref(), &how)?;
    let refused = args.dry_run && !args.force && !rolled.done.changed_since.is_empty();
    let code = if refused { ExitCode::Failed } else { ExitCode::Succeeded };
    let mut out = std::io::stdout().lock();
    if args.json {
        let done = &rolled.done;
        writeln!(
            out,
            "{}",
            json!({
                "run": first.run, "to": args.to, "dry_run": args.dry_run, "rollback": rolled.run,
                "changes": done.changes.changes, "kept": done.kept, "changed_since": done.changed_since,
            })
        )?;
        return Ok(code);
    }
    let look = Appearance::of_stdout();
    let named = |path: &Path| look.foreign(&path_on_a_line(path.strip_prefix(workspace).unwrap_or(path))).into_owned();
    let changes = &rolled.done.changes.changes;
    for change in changes.iter().take(MOST) {
        let (letter, colour) = match change.kind {
            ChangeKind::Added => ("A", Colour::Green),
            ChangeKind::Deleted => ("D", Colour::Red),
            ChangeKind::Modified => ("M", Colour::Yellow),
            ChangeKind::Mode => ("m", Colour::Yellow),
        };
        writeln!(out, "{} {}", look.paint(colour, letter), named(&change.path))?;
    }
    if changes.len() > MOST {
        writeln!(out, "  and {} more; --json lists them", changes.len() - MOST)?;
    }
    let mut list = |word: &str, paths: &[LeftOut]| -> Result<()> {
        for one in paths.iter().take(MOST) {
            let (word, reason) = (look.paint(Colour::Yellow, word), look.foreign(&one.reason));
            writeln!(out, "{word} {}: {reason}", named(&one.path))?;
        }
        Ok(())
    };
    list("kept", &rolled.done.kept)?;
    list(if args.force { "overwritten" } else { "in the way" }, &rolled.done.changed_since)?;
    let count = counted(changes.len());
    match (&rolled.run, args.dry_run) {
        (_, true) if refused => writeln!(out, "Refused as it is: {count} would change. Nothing was done.")?,
        (_, true) => writeln!(out, "{count} would change. Nothing was done.")?,
        (Some(run), _) => writeln!(out, "Rolled back {count}. `agentic rollback {run}` takes it back.")?,
        (None, _) => writeln!(out, "Everything is as it was; nothing to roll back.")?,
    }
    Ok(code)
}

/// So many paths, in words.
pub(crate) fn counted(paths: usize) -> String {
    if paths == 1 { "1 path".to_owned() } else { format!("{paths} paths") }
}
