//! `agentic plan`: the plan of a task or plan file, in one of its forms; nothing is run.

use std::io::Write;

use crate::args::PlanArgs;
use crate::engine::{Engine, Parts, show_plan};
use crate::error::Result;
use crate::exit_code::ExitCode;
use crate::run::Asked;
use crate::settings::{Settings, Surroundings, Typed};
use crate::terminal::Appearance;
use crate::warn;

pub(crate) fn run(args: PlanArgs) -> Result<ExitCode> {
    let asked = Asked::parse(&args.task)?;
    let found = Surroundings::find(asked.directory(&args.task.place).as_deref())?;
    let settings = Settings::decide(found, Typed::default())?;
    warn(&settings.warnings);
    let engine = Engine::new(&settings, Parts::default())?;
    let plan = asked.plan(&engine, &args.task.context)?;
    let look = Appearance::of_stdout();
    let mut out = std::io::stdout();
    writeln!(out, "{}", look.foreign(show_plan(&plan, args.format).trim_end()))?;
    Ok(ExitCode::Succeeded)
}
