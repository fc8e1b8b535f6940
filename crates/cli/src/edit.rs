//! `agentic edit`: exact search and replace in one file, or a patch over many, as a transaction.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use agentic_executor::{Cancel, ExecutionResult};

use crate::args::EditArgs;
use crate::conduct::writable;
use crate::engine::{Engine, Parts};
use crate::error::{Failure, Result, unless_gone};
use crate::exit_code::ExitCode;
use crate::settings::{Settings, Surroundings, Typed};
use crate::signals::Watch;
use crate::terminal::Appearance;
use crate::warn;

/// Bytes of a patch that are read at most.
const MOST_PATCH: u64 = 64 << 20;

/// What is to be done.
enum Change {
    Text { old: String, new: String },
    Patch(String),
}

pub(crate) fn run(args: EditArgs) -> Result<ExitCode> {
    let change = match (args.patch, args.old, args.new) {
        (Some(file), ..) => Change::Patch(read(&file)?),
        (None, Some(old), Some(new)) if !old.is_empty() => Change::Text { old, new },
        _ => return Err(Failure::bad_input("--old is empty: there is nothing to look for")),
    };
    let found = Surroundings::find(args.place.directory.as_deref())?;
    let mut typed = Typed::default();
    typed.allow_persist(&args.allow_persist)?;
    let mut settings = Settings::decide(found, typed)?;
    warn(&settings.warnings);
    writable(&settings)?;
    let path = args.path.map(|path| settings.config.workspace.join(path));
    // Who names the very file and its new text has asked for it; what a patch names nobody may have read.
    let sandbox = &mut settings.config.sandbox;
    sandbox.allow_persist = std::mem::take(&mut sandbox.allow_persist).with(path.clone());
    let cancel = Cancel::new();
    let _watch = Watch::start(&cancel, || ())?;
    let engine = Engine::new(&settings, Parts { cancel, journal: true, ..Parts::default() })?;
    let (result, what) = match (&change, &path) {
        (Change::Text { old, new }, Some(path)) => (engine.edit(path, old, new)?, format!("edit {}", path.display())),
        (Change::Patch(patch), _) => (engine.apply_patch(patch), "apply the patch".to_owned()),
        (Change::Text { .. }, None) => return Err(Failure::bad_input("there is no file to edit")),
    };
    show(&result, &what, args.json)
}

fn show(result: &ExecutionResult, what: &str, json: bool) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    let look = Appearance::of_stdout();
    if json {
        unless_gone(writeln!(out, "{}", result.to_dict()))?;
    } else if result.success {
        for step in &result.steps {
            if let Some(answer) = step.result.as_ref().filter(|answer| !answer.output_text().is_empty()) {
                unless_gone(writeln!(out, "{}", look.foreign(answer.output_text().trim_end())))?;
            }
        }
    } else {
        // The whole of it: the nearest region is several lines.
        let said =
            result.steps.first().and_then(|step| step.result.as_ref()).and_then(|answer| answer.error.as_deref());
        let why = said.or(result.error.as_deref()).unwrap_or("it gave no reason");
        return Err(Failure::new(
            ExitCode::of_run(result),
            format!("failed to {what}: {}", Appearance::of_stderr().foreign(why.trim_end())),
        ));
    }
    Ok(ExitCode::of_run(result))
}

/// The text of a patch. What is no UTF-8 cannot be applied as it is meant.
fn read(file: &Path) -> Result<String> {
    let (name, opened): (_, std::io::Result<Box<dyn Read>>) = if file == Path::new("-") {
        ("standard input".to_owned(), Ok(Box::new(std::io::stdin().lock())))
    } else {
        (file.display().to_string(), File::open(file).map(|file| Box::new(file) as Box<dyn Read>))
    };
    let failed = |error: std::io::Error| Failure::bad_input(format!("failed to read the patch {name}: {error}"));
    let mut bytes = Vec::new();
    opened.map_err(failed)?.take(MOST_PATCH + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_PATCH {
        return Err(Failure::bad_input(format!(
            "failed to read the patch {name}: it has more than {MOST_PATCH} bytes"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::bad_input(format!("failed to read the patch {name}: it is not UTF-8 (byte {at})"))
    })
}
