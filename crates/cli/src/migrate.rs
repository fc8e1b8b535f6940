//! `agentic migrate`: a code base rewritten by rules, verified in the sandbox, applied as one.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentic_executor::{Cancel, Event, EventBody, ExecutionResult};
use agentic_migrate::RuleSet;
use agentic_migrate::conduct::{MigrateOptions, MigrateTool, MigrationReport, MigrationStatus};

use crate::args::MigrateArgs;
use crate::conduct::writable;
use crate::diff::write_unified;
use crate::engine::{Engine, Parts, Prompt};
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::prompt::AlwaysYes;
use crate::settings::{Settings, Surroundings, Typed};
use crate::signals::Watch;
use crate::terminal::Appearance;
use crate::warn;

mod show;

/// Bytes of a rules file that are read at most.
const MOST_RULES: u64 = 16 << 20;

pub(crate) fn run(args: &MigrateArgs) -> Result<ExitCode> {
    let (rules, name) = read(&args.rules)?;
    if args.verify.iter().any(|line| line.trim().is_empty()) {
        return Err(Failure::bad_input("--verify is empty: name the command that verifies"));
    }
    // Before another folder is entered.
    let rules_file = args.rules.canonicalize().ok();
    let found = Surroundings::find(args.place.directory.as_deref())?;
    let mut typed = Typed::default();
    typed.permissions(&args.permissions)?;
    let settings = Settings::decide(found, typed)?;
    warn(&settings.warnings);
    if !args.dry_run {
        writable(&settings)?;
    }
    let cancel = Cancel::new();
    let _watch = Watch::start(&cancel, || {
        let _gone = writeln!(std::io::stderr(), "agentic: ending the migration (again to end it at once)");
    })?;
    let prompt: Option<Arc<dyn Prompt>> = if args.permissions.yes { Some(Arc::new(AlwaysYes)) } else { None };
    // What is printed at the end may be piped: progress is no part of it.
    let look = Appearance::of_stderr();
    let quiet = args.json;
    let on_event = Box::new(move |event: &Event| {
        if let (EventBody::CallOutput { text, .. }, false) = (&event.body, quiet) {
            let _gone = write!(std::io::stderr(), "{}", look.foreign(text));
        }
    });
    let cancelled = cancel.clone();
    let engine = Engine::new(&settings, Parts { on_event, prompt, cancel, journal: true, review: None })?;
    let workspace = &settings.config.workspace;
    let tool = MigrateTool::new(rules, &name)
        .except(rules_file.and_then(|file| inside(&file, workspace)))
        .beside(engine.tool("shell"));
    let tool = Arc::new(tool);
    engine.register(tool.clone())?;

    let mut options = MigrateOptions {
        verify: args.verify.clone(),
        timeout: args.timeout,
        bisect: args.bisect,
        max_verifications: args.max_verifications,
        most_files: args.batch.map(|most| most as usize),
        dry_run: args.dry_run,
        ..MigrateOptions::default()
    };
    let mut whole: Option<MigrationReport> = None;
    let result = loop {
        let result = engine.execute(tool.plan(&options));
        let report = if result.success { tool.report() } else { tool.report().not_applied() };
        let rejected = args.bisect && !report.rejected.is_empty();
        // What was applied was verified as it is; after a part of it, or none, somebody else may be at fault.
        options.verified_before = result.success && report.status == MigrationStatus::Applied;
        let goes_on = args.batch.is_some()
            && (result.success || rejected)
            && !report.files.is_empty()
            && !cancelled.is_cancelled();
        whole = Some(match whole {
            None => report,
            Some(before) => before.followed_by(report),
        });
        if !goes_on {
            break result;
        }
    };
    let report = whole.unwrap_or_default();
    if args.json {
        show::json(&result, &report)?;
        return Ok(code(&result, &report));
    }
    if args.dry_run && result.success {
        let mut out = std::io::stdout().lock();
        let shown = write_unified(&mut out, &tool.differences(workspace), workspace, Appearance::of_stdout());
        match shown {
            Err(failure) if failure.quiet => return Err(failure),
            other => other?,
        }
    }
    show::text(&result, &report, args)?;
    Ok(code(&result, &report))
}

fn code(result: &ExecutionResult, report: &MigrationReport) -> ExitCode {
    let answer = result.steps.iter().filter_map(|step| step.result.as_ref()).find(|answer| !answer.is_success());
    let some = report.kept().next().is_some();
    match (ExitCode::of_run(result), report.status) {
        (ExitCode::Cancelled, _) => ExitCode::Cancelled,
        // Files of earlier batches, or those that verify.
        (ExitCode::Succeeded, _) if !report.rejected.is_empty() && some => ExitCode::Partial,
        (_, MigrationStatus::Red | MigrationStatus::RedBefore) if some => ExitCode::Partial,
        (_, MigrationStatus::Red | MigrationStatus::RedBefore) => ExitCode::Failed,
        (ExitCode::Succeeded, _) if !report.rejected.is_empty() => ExitCode::Failed,
        // Steps that went well before one failed have changed nothing: only the last one applies.
        (ExitCode::Failed | ExitCode::Partial, _) => answer.map_or(ExitCode::Failed, ExitCode::of_call),
        (code, _) => code,
    }
}

/// The rules and the name that they are called by.
fn read(file: &Path) -> Result<(RuleSet, String)> {
    let (name, opened): (_, std::io::Result<Box<dyn Read>>) = if file == Path::new("-") {
        ("standard input".to_owned(), Ok(Box::new(std::io::stdin().lock())))
    } else {
        (file.display().to_string(), File::open(file).map(|file| Box::new(file) as Box<dyn Read>))
    };
    let failed =
        |error: &dyn std::fmt::Display| Failure::bad_input(format!("failed to read the rules {name}: {error}"));
    let mut bytes = Vec::new();
    opened
        .map_err(|error| failed(&error))?
        .take(MOST_RULES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > MOST_RULES {
        return Err(failed(&format!("it has more than {MOST_RULES} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| failed(&format!("it is not UTF-8 (byte {})", error.utf8_error().valid_up_to())))?;
    let rules = RuleSet::from_yaml(&text, &name).map_err(|error| Failure::bad_input(error.to_string()))?;
    Ok((rules, name))
}

/// The rules file relative to the workspace, where it lies in it.
fn inside(real: &Path, workspace: &Path) -> Option<PathBuf> {
    real.strip_prefix(workspace.canonicalize().ok()?).ok().map(Path::to_owned)
}
