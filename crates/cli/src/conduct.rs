//! Conducting a run: what flags decide, whom to ask, how it is shown while it goes on, and what is told of it in the end.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use agentic_executor::executor::ExecutionMode;
use agentic_executor::{Cancel, ExecutionResult};
use serde_json::{Map, Value};

use crate::args::{ConductArgs, Mode};
use crate::engine::{Engine, Parts, Prompt};
use crate::error::{Failure, Result, unless_gone};
use crate::exit_code::ExitCode;
use crate::progress::{Manner, Progress};
use crate::prompt::{AlwaysYes, TerminalPrompt};
use crate::render;
use crate::settings::approval::Action;
use crate::settings::{Settings, Surroundings, Typed, home_is_open};
use crate::signals::Watch;
use crate::staged;
use crate::terminal::Appearance;
use crate::warn;

impl ConductArgs {
    /// The mode's name, when one was given.
    pub(crate) fn mode(&self) -> Option<&'static str> {
        self.mode.map(|mode| match mode {
            Mode::Sequential => "sequential",
            Mode::Parallel => "parallel",
            Mode::Interactive => "interactive",
        })
    }
}

/// A run that is about to begin.
#[derive(Debug)]
pub(crate) struct Conduct<'a> {
    args: &'a ConductArgs,
    settings: Settings,
    /// What a person edits with.
    editor: Option<String>,
    staged: bool,
}

impl<'a> Conduct<'a> {
    /// Decides the settings; `typed` has the mode already.
    pub(crate) fn decide(args: &'a ConductArgs, found: Surroundings, mut typed: Typed) -> Result<Self> {
        typed.text("max_steps", "--max-steps", args.max_steps.as_deref())?;
        typed.permissions(&args.permissions)?;
        let editor = ["VISUAL", "EDITOR"]
            .into_iter()
            .find_map(|name| found.variable(name))
            .map(|editor| editor.to_string_lossy().into_owned());
        let settings = Settings::decide(found, typed)?;
        warn(&settings.warnings);
        Ok(Self { args, settings, editor, staged: false })
    }

    /// The same, with what the steps write held back until somebody has seen it.
    pub(crate) fn staged(self, staged: bool) -> Self {
        Self { staged, ..self }
    }

    /// An executor that plans and runs nothing.
    pub(crate) fn planner(&self) -> Result<Engine> {
        Engine::new(&self.settings, Parts::default())
    }

    /// Runs, shows and reports what `act` does with the executor.
    pub(crate) fn run(self, act: impl FnOnce(&Engine) -> Result<ExecutionResult>) -> Result<ExitCode> {
        let Self { args, settings, editor, staged } = self;
        let interactive = settings.mode == ExecutionMode::Interactive;
        let person = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if interactive && args.permissions.yes {
            return Err(Failure::bad_input("--yes answers every question that interactive mode would ask")
                .hint("leave out one of the two"));
        }
        if interactive && !person {
            return Err(Failure::bad_input("failed to start interactive mode: stdin and stderr are not a terminal")
                .hint("run it in a terminal, or choose --mode sequential"));
        }
        if staged && !args.permissions.yes && !person {
            return Err(Failure::bad_input(
                "failed to start: --staged asks before it applies anything, and stdin and stderr are not a terminal",
            )
            .hint("--yes applies what the steps did once all of them have succeeded"));
        }
        writable(&settings)?;
        warn(home_is_open(&settings.config).as_slice());

        let look = Appearance::of_stdout();
        // A question and a line that is drawn over would fight for the same place.
        let look = Appearance { live: look.live && !interactive, ..look };
        let manner = match (args.json, args.jsonl) {
            (true, _) => Manner::Silent,
            (_, true) => Manner::JsonLines,
            _ => Manner::Lines,
        };
        let progress = Arc::new(Progress::new(manner, look, &settings.config.workspace));
        let cancel = Cancel::new();
        let noted = progress.clone();
        let watch = Watch::start(&cancel, move || noted.note("ending the run (again to end it at once)"))?;
        let asks = settings.rules.iter().any(|rule| rule.action == Action::Ask);
        let terminal =
            (!args.permissions.yes && person).then(|| Arc::new(TerminalPrompt::new(cancel.clone(), watch, editor)));
        let prompt: Option<Arc<dyn Prompt>> = match &terminal {
            None if args.permissions.yes => Some(Arc::new(AlwaysYes)),
            Some(terminal) if interactive || asks => Some(terminal.clone()),
            _ => None,
        };
        let review = staged.then(|| staged::review(terminal, settings.config.workspace.clone()));
        let shown = progress.clone();
        let on_event = Box::new(move |event: &_| shown.event(event));
        let engine = Engine::new(&settings, Parts { on_event, prompt, cancel, journal: true, review })?;
        let result = act(&engine)?;
        progress.end();
        let mut out = std::io::stdout();
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
}

/// Refuses a workspace that no step could write to, before anything is done.
pub(crate) fn writable(settings: &Settings) -> Result<()> {
    let workspace = &settings.config.workspace;
    rustix::fs::access(workspace, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(|error| {
        Failure::bad_input(format!("failed to work in {}: it is not writable: {error}", workspace.display()))
            .hint("choose another folder with -C, or change its permissions")
    })
}
