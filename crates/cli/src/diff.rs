//! `agentic diff`: what a run or a step changed, as a unified diff that `git apply` takes.

use std::io::Write;
use std::path::Path;

use agentic_executor::executor::workspace_of;
use agentic_executor::workspace::{DiffLine, DiffPart, Difference, Stat};
use serde_json::json;

use crate::args::DiffArgs;
use crate::engine;
use crate::error::Result;
use crate::exit_code::ExitCode;
use crate::history::{check_run, settings};
use crate::terminal::{Appearance, Colour};

pub(crate) fn run(args: &DiffArgs) -> Result<ExitCode> {
    check_run(&args.run)?;
    let state = settings()?.config.state;
    let events = engine::events(&state, &args.run)?;
    let workspace = workspace_of(&events).unwrap_or(Path::new(""));
    let look = Appearance::of_stdout();
    let differences = engine::differences(&state, &events, args.step.as_deref())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!(differences))?;
    } else if args.stat {
        write_stat(&mut out, &differences, workspace, look)?;
    } else {
        write_unified(&mut out, &differences, workspace, look)?;
    }
    Ok(ExitCode::Succeeded)
}

pub(crate) fn write_unified(
    out: &mut impl Write,
    all: &[Difference],
    workspace: &Path,
    look: Appearance,
) -> Result<()> {
    for line in all.iter().flat_map(|one| one.unified(workspace)) {
        writeln!(out, "{}", painted(&line, look))?;
    }
    Ok(())
}

fn painted(line: &DiffLine, look: Appearance) -> String {
    let shown = look.foreign(&line.text);
    let colour = match line.part {
        DiffPart::Head => Colour::Bold,
        DiffPart::Place => Colour::Dim,
        DiffPart::Added => Colour::Green,
        DiffPart::Removed => Colour::Red,
        DiffPart::Context => return shown.into_owned(),
    };
    look.paint(colour, &shown)
}

pub(crate) fn write_stat(out: &mut impl Write, all: &[Difference], workspace: &Path, look: Appearance) -> Result<()> {
    let stat = Stat::of(all, workspace);
    let width = stat.width();
    for row in &stat.rows {
        let plus = look.paint(Colour::Green, &"+".repeat(row.plus));
        let minus = look.paint(Colour::Red, &"-".repeat(row.minus));
        let line = format!(" {:<width$} | {} {plus}{minus}", look.foreign(&row.name), look.foreign(&row.what));
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out, " {}", stat.sum())?;
    Ok(())
}
