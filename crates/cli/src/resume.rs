//! `agentic resume`: goes on with a run that was cut off, or that ended before its plan did.

use agentic_executor::EventBody;
use agentic_executor::executor::{ExecutionMode, Resume};

use crate::args::ResumeArgs;
use crate::conduct::Conduct;
use crate::engine;
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::history::settings;
use crate::settings::{Surroundings, Typed};

pub(crate) fn run(args: &ResumeArgs) -> Result<ExitCode> {
    if args.run.trim().is_empty() {
        return Err(Failure::bad_input("the run's id is empty").hint("`agentic runs` lists the ids"));
    }
    let events = engine::events(&settings()?.config.state, &args.run)?;
    let mut found = None;
    let mut before = None;
    for event in &events {
        match &event.body {
            EventBody::RunStarted { workspace, mode, .. } => {
                found = Some((event.run.clone(), workspace.clone()));
                before = Some(*mode);
            }
            EventBody::RunResumed { mode, .. } => before = Some(*mode),
            _ => {}
        }
    }
    let Some((run, workspace)) = found else {
        return Err(Failure::failed(format!("run `{}` has no beginning in the journal", args.run)));
    };
    if !workspace.is_dir() {
        return Err(Failure::bad_input(format!("failed to go on: {} is no folder any more", workspace.display())));
    }
    let mut typed = Typed::default();
    let as_before = before.map(|mode| match mode {
        ExecutionMode::Sequential => "sequential",
        ExecutionMode::Parallel => "parallel",
        ExecutionMode::Interactive => "interactive",
    });
    match args.conduct.mode() {
        Some(mode) => typed.text("mode", "--mode", Some(mode))?,
        None => typed.text("mode", "the mode of the run", as_before)?,
    };
    let conduct = Conduct::decide(&args.conduct, Surroundings::find(Some(&workspace))?, typed)?;
    let how = Resume { force: args.force, retry: args.retry.iter().map(|step| step.as_str().into()).collect() };
    conduct.run(|engine| engine.resume(&run, &how))
}
