//! `agentic run`: a task or plan file, executed, shown while it goes on, and reported truthfully.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentic_executor::executor::ExecutionMode;
use agentic_executor::planner::FACTS;
use agentic_executor::{Cancel, ExecutionPlan};
use serde_json::{Map, Value};

use crate::args::{Mode, Place, RunArgs, TaskArgs, TierName};
use crate::engine::{Engine, Parts, PlanText, Prompt, show_plan};
use crate::error::{Failure, Result, unless_gone};
use crate::exit_code::ExitCode;
use crate::progress::{Manner, Progress};
use crate::prompt::{AlwaysYes, TerminalPrompt};
use crate::render;
use crate::settings::approval::Action;
use crate::settings::{Settings, Surroundings, Typed, home_is_open};
use crate::signals::Watch;
use crate::terminal::Appearance;
use crate::warn;

/// Most bytes that a plan file may have.
const MOST: u64 = 16 << 20;

pub(crate) fn run(args: RunArgs) -> Result<ExitCode> {
    let asked = Asked::parse(&args.task)?;
    let found = Surroundings::find(asked.directory(&args.task.place).as_deref())?;
    let mut typed = Typed::default();
    let mode = args.mode.map(|mode| match mode {
        Mode::Sequential => "sequential",
        Mode::Parallel => "parallel",
        Mode::Interactive => "interactive",
    });
    match &asked {
        Asked::Plan(plan, _) if mode.is_none() => typed.text("mode", "the plan's `mode`", plan.mode())?,
        _ => typed.text("mode", "--mode", mode)?,
    };
    typed.text("max_steps", "--max-steps", args.max_steps.as_deref())?;
    typed.text("sandbox.tier", "--tier", args.tier.map(TierName::as_str))?;
    typed.allow_persist(&args.allow_persist)?;
    for rule in &args.approve {
        typed.rule(rule)?;
    }
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| found.variable(name))
        .map(|editor| editor.to_string_lossy().into_owned());
    let settings = Settings::decide(found, typed)?;
    warn(&settings.warnings);
    let interactive = settings.mode == ExecutionMode::Interactive && !args.dry_run;
    let person = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if interactive && args.yes {
        return Err(Failure::bad_input("--yes answers every question that interactive mode would ask")
            .hint("leave out one of the two"));
    }
    if interactive && !person {
        return Err(Failure::bad_input("failed to start interactive mode: stdin and stderr are not a terminal")
            .hint("run it in a terminal, or choose --mode sequential"));
    }
    if !args.dry_run {
        writable(&settings)?;
        warn(home_is_open(&settings.config).as_slice());
    }

    let look = Appearance::of_stdout();
    // A question and a line that is drawn over would fight for the same place.
    let look = Appearance { live: look.live && !interactive, ..look };
    let manner = match (args.json, args.jsonl) {
        (true, _) => Manner::Silent,
        (_, true) => Manner::JsonLines,
        _ => Manner::Lines,
    };
    let progress = Arc::new(Progress::new(manner, look));
    let cancel = Cancel::new();
    let noted = progress.clone();
    let watch = Watch::start(&cancel, move || noted.note("ending the run (again to end it at once)"))?;
    let asks = settings.rules.iter().any(|rule| rule.action == Action::Ask);
    let prompt: Option<Arc<dyn Prompt>> = if args.yes {
        Some(Arc::new(AlwaysYes))
    } else if interactive || (asks && person) {
        Some(Arc::new(TerminalPrompt::new(cancel.clone(), watch, editor)))
    } else {
        None
    };
    let shown = progress.clone();
    let engine = Engine::new(
        &settings,
        Parts { on_event: Box::new(move |event| shown.event(event)), prompt, cancel, journal: !args.dry_run },
    )?;
    let plan = asked.plan(&engine, &args.task.context)?;
    let mut out = std::io::stdout();
    if args.dry_run {
        let format =
            if args.json || args.jsonl { crate::args::PlanFormat::Json } else { crate::args::PlanFormat::Text };
        writeln!(out, "{}", look.foreign(show_plan(&plan, format).trim_end()))?;
        return Ok(ExitCode::Succeeded);
    }
    let result = engine.execute(plan);
    progress.end();
    match manner {
        Manner::Silent => unless_gone(writeln!(out, "{}", result.to_dict()))?,
        Manner::JsonLines => {
            let mut line = Map::new();
            line.insert("event".into(), "result".into());
            if let Value::Object(fields) = result.to_dict() {
                line.extend(fields);
            }
            unless_gone(writeln!(out, "{}", Value::Object(line)))?;
        }
        Manner::Lines => {
            for line in render::closing(&result, look) {
                unless_gone(writeln!(out, "{line}"))?;
            }
        }
    }
    Ok(ExitCode::of_run(&result))
}

/// What is to be planned.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A task in words.
    Task(String),
    /// A plan, and the folder its own paths start from.
    Plan(Box<PlanText>, Option<PathBuf>),
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
                    let plan = PlanText::parse(&read(file, &name)?, &name)?;
                    return Ok(Self::Plan(Box::new(plan), path.parent().map(Path::to_owned)));
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
            Self::Plan(plan, beside) => {
                let own = plan.workspace()?;
                Some(beside.as_ref().map_or_else(|| own.to_owned(), |beside| beside.join(own)))
            }
            Self::Task(_) => None,
        };
        place.directory.clone().or_else(own)
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
    from.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
    if bytes.len() as u64 > MOST {
        return Err(refuse("it is larger than 16 MB".into()));
    }
    String::from_utf8(bytes)
        .map_err(|error| refuse(format!("it is not UTF-8 (byte {})", error.utf8_error().valid_up_to())))
}

/// Refuses a workspace that no step could write to, before anything is done.
pub(crate) fn writable(settings: &Settings) -> Result<()> {
    let workspace = &settings.config.workspace;
    rustix::fs::access(workspace, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(|error| {
        Failure::bad_input(format!("failed to work in {}: it is not writable: {error}", workspace.display()))
            .hint("choose another folder with -C, or change its permissions")
    })
}
