//! `agentic run`: a task or plan file, executed.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use agentic_executor::ExecutionPlan;
use agentic_executor::planner::{FACTS, MOST_PLAN_BYTES};
use serde_json::{Map, Value};

use crate::args::{Place, RunArgs, TaskArgs};
use crate::conduct::Conduct;
use crate::engine::{Engine, PlanText, show_plan};
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::settings::{Surroundings, Typed};
use crate::terminal::Appearance;
use crate::warn;

pub(crate) fn run(args: RunArgs) -> Result<ExitCode> {
    let mut asked = Asked::parse(&args.task)?;
    let found = Surroundings::find(asked.directory(&args.task.place).as_deref())?;
    let mut typed = Typed::default();
    match &asked {
        Asked::Plan(plan, _) if args.conduct.mode.is_none() => typed.text("mode", "the plan's `mode`", plan.mode())?,
        _ => typed.text("mode", "--mode", args.conduct.mode())?,
    };
    let conduct = Conduct::decide(&args.conduct, found, typed)?.staged(args.staged);
    if args.dry_run {
        let engine = conduct.planner()?;
        let plan = asked.plan(&engine, &args.task.context)?;
        let json = args.conduct.json || args.conduct.jsonl;
        let format = if json { crate::args::PlanFormat::Json } else { crate::args::PlanFormat::Text };
        let look = Appearance::of_stdout();
        writeln!(std::io::stdout(), "{}", look.foreign(show_plan(&plan, format).trim_end()))?;
        return Ok(ExitCode::Succeeded);
    }
    let file = asked.file();
    conduct.run(|engine| {
        let mut plan = asked.plan(engine, &args.task.context)?;
        if let Some(PlanSource { path, text }) = file {
            plan.remember_file(&path, &text);
        }
        Ok(engine.execute(plan))
    })
}

/// What is to be planned.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A task in words.
    Task(String),
    /// A plan, and where it was read from, if that is a file.
    Plan(Box<PlanText>, Option<PlanSource>),
}

/// A plan file, by its absolute path.
#[derive(Debug)]
pub(crate) struct PlanSource {
    path: PathBuf,
    text: String,
}

impl Asked {
    /// Decides whether it is a task or a plan, and reads the plan.
    pub(crate) fn parse(args: &TaskArgs) -> Result<Self> {
        if args.task == "-" {
            let text = read(std::io::stdin().lock(), "the plan on standard input")?;
            return Ok(Self::Plan(Box::new(PlanText::parse(&text, "<stdin>")?), None));
        }
        let path = Path::new(&args.task);
        let ending = path.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("yaml" | "yml" | "json")) {
            let path = match &args.place.directory {
                Some(directory) => directory.join(path),
                None => path.to_owned(),
            };
            let name = path.display().to_string();
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => {
                    let file = std::fs::File::open(&path)
                        .map_err(|error| Failure::bad_input(format!("failed to open the plan {name}: {error}")))?;
                    let text = read(file, &name)?;
                    let plan = PlanText::parse(&text, &name)?;
                    // Before another folder is entered. A link in it stays one: it may lead to another plan later.
                    let path = std::path::absolute(&path)?;
                    return Ok(Self::Plan(Box::new(plan), Some(PlanSource { path, text })));
                }
                Ok(_) => {
                    return Err(Failure::bad_input(format!("failed to open the plan {name}: it is not a file")));
                }
                // "write config.json" is a task, "config.json" is not.
                Err(error) if !args.task.contains(char::is_whitespace) => {
                    return Err(Failure::bad_input(format!("failed to open the plan {name}: {error}")));
                }
                Err(_) => {}
            }
        }
        if args.task.trim().is_empty() {
            return Err(
                Failure::bad_input("the task is empty").hint("say what to do, for example: agentic run \"run tests\"")
            );
        }
        Ok(Self::Task(args.task.clone()))
    }

    /// The folder to work in: `-C`, else the plan's own, beside the plan file.
    pub(crate) fn directory(&self, place: &Place) -> Option<PathBuf> {
        let own = || match self {
            Self::Plan(plan, source) => {
                let own = plan.workspace()?;
                let beside = source.as_ref().and_then(|source| source.path.parent());
                Some(beside.map_or_else(|| own.to_owned(), |beside| beside.join(own)))
            }
            Self::Task(_) => None,
        };
        place.directory.clone().or_else(own)
    }

    /// The plan file.
    fn file(&mut self) -> Option<PlanSource> {
        let Self::Plan(_, source) = self else { return None };
        source.take()
    }

    /// The plan for it.
    pub(crate) fn plan(self, engine: &Engine, context: &[(String, String)]) -> Result<ExecutionPlan> {
        let context: Map<String, Value> =
            context.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
        match self {
            Self::Task(task) => {
                let strange = context.keys().filter(|key| !FACTS.contains(&key.as_str()));
                let line = |key| format!("-c {key}=… means nothing to the planner, which knows {}", FACTS.join(", "));
                warn(&strange.map(line).collect::<Vec<_>>());
                engine.plan(&task, &context)
            }
            Self::Plan(plan, _) => engine.check(*plan, context),
        }
    }
}

fn read(from: impl Read, name: &str) -> Result<String> {
    let refuse = |why: String| Failure::bad_input(format!("failed to read {name}: {why}"));
    let mut bytes = Vec::new();
    from.take(MOST_PLAN_BYTES + 1).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
    if bytes.len() as u64 > MOST_PLAN_BYTES {
        return Err(refuse("it is larger than 16 MB".into()));
    }
    String::from_utf8(bytes)
        .map_err(|error| refuse(format!("it is not UTF-8 (byte {})", error.utf8_error().valid_up_to())))
}
