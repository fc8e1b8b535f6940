//! `agentic edit`: exact search and replace in one file, as a transaction.

use std::io::Write;

use agentic_executor::Cancel;

use crate::args::EditArgs;
use crate::engine::{Engine, Parts};
use crate::error::{Failure, Result, unless_gone};
use crate::exit_code::ExitCode;
use crate::run::writable;
use crate::settings::{Settings, Surroundings, Typed};
use crate::signals::Watch;
use crate::terminal::Appearance;
use crate::warn;

pub(crate) fn run(args: EditArgs) -> Result<ExitCode> {
    if args.old.is_empty() {
        return Err(Failure::bad_input("--old is empty: there is nothing to look for"));
    }
    let found = Surroundings::find(args.place.directory.as_deref())?;
    let mut settings = Settings::decide(found, Typed::default())?;
    warn(&settings.warnings);
    writable(&settings)?;
    let path = settings.config.workspace.join(&args.path);
    // Who names the very file and its new text has asked for it.
    let sandbox = &mut settings.config.sandbox;
    sandbox.allow_persist = std::mem::take(&mut sandbox.allow_persist).with([path.clone()]);
    let cancel = Cancel::new();
    let _watch = Watch::start(&cancel, || ())?;
    let engine = Engine::new(&settings, Parts { cancel, journal: true, ..Parts::default() })?;
    let result = engine.edit(&path, &args.old, &args.new)?;
    let mut out = std::io::stdout();
    let look = Appearance::of_stdout();
    if args.json {
        unless_gone(writeln!(out, "{}", result.to_dict()))?;
    } else if result.success {
        for step in &result.steps {
            if let Some(answer) = step.result.as_ref().filter(|answer| !answer.output_text().is_empty()) {
                unless_gone(writeln!(out, "{}", look.foreign(answer.output_text().trim_end())))?;
            }
        }
    } else {
        let why = result.error.as_deref().unwrap_or("it gave no reason");
        return Err(Failure::new(
            ExitCode::of_run(&result),
            format!("failed to edit {}: {}", path.display(), Appearance::of_stderr().foreign(why)),
        ));
    }
    Ok(ExitCode::of_run(&result))
}
