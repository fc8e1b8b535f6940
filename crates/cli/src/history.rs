//! `agentic runs` and `agentic show`: what the journal remembers.

use std::io::Write;

use agentic_executor::executor::running;
use agentic_executor::{Event, EventBody};
use serde_json::json;

use crate::args::{RunsArgs, ShowArgs};
use crate::changes::Changes;
use crate::engine;
use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;
use crate::render::{gist, opening, output_text, seconds};
use crate::settings::{Settings, Surroundings, Typed};
use crate::terminal::{Appearance, Colour, one_line};
use crate::warn;

pub(crate) fn settings() -> Result<Settings> {
    let settings = Settings::decide(Surroundings::find(None)?, Typed::default())?;
    warn(&settings.warnings);
    Ok(settings)
}

/// Refuses an id that would be part of every other.
pub(crate) fn check_run(run: &str) -> Result<()> {
    if run.trim().is_empty() {
        return Err(Failure::bad_input("the run's id is empty").hint("`agentic runs` lists the ids"));
    }
    Ok(())
}

pub(crate) fn list(args: &RunsArgs) -> Result<ExitCode> {
    let runs = engine::runs(&settings()?.config.state, args.limit)?;
    let look = Appearance::of_stdout();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!(runs))?;
        return Ok(ExitCode::Succeeded);
    }
    if runs.is_empty() && args.limit > 0 {
        let _gone = writeln!(std::io::stderr(), "agentic: no runs yet; `agentic run` makes one");
    }
    for run in runs {
        let open = if run.running.is_some() { "running" } else { "cut off" };
        let ended = run.stop_reason.as_deref().unwrap_or(open);
        let took = run.duration.and_then(|s| std::time::Duration::try_from_secs_f64(s).ok()).map(seconds);
        let task = one_line(&run.task, 80);
        writeln!(
            out,
            "{}  {}  {ended:<13} {:>9}  {}",
            look.paint(Colour::Bold, &run.id),
            run.started,
            took.unwrap_or_default(),
            look.foreign(&task)
        )?;
    }
    Ok(ExitCode::Succeeded)
}

pub(crate) fn show(args: &ShowArgs) -> Result<ExitCode> {
    check_run(&args.run)?;
    let state = settings()?.config.state;
    let events = engine::events(&state, &args.run)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", json!({ "id": events.first().map(|event| &event.run), "events": events }))?;
        return Ok(ExitCode::Succeeded);
    }
    let look = Appearance::of_stdout();
    for event in &events {
        for line in lines(event, look) {
            writeln!(out, "{line}")?;
        }
    }
    let last = events.iter().rev().find_map(|event| match event.body {
        EventBody::RunFinished { .. } => Some(true),
        EventBody::RunStarted { .. } | EventBody::RunResumed { .. } => Some(false),
        _ => None,
    });
    if last != Some(true) {
        let text = match events.first().and_then(|event| running(&state, &event.run)) {
            Some(owner) => format!("It still runs: {owner}."),
            None if events.iter().any(|event| matches!(event.body, EventBody::RunStarted { staged: true, .. })) => {
                "It was cut off before it was applied: run the plan again.".to_owned()
            }
            None => "It was cut off; `agentic resume` goes on with it.".to_owned(),
        };
        writeln!(out, "{}", look.paint(Colour::Yellow, &text))?;
    }
    Ok(ExitCode::Succeeded)
}

/// Lines of an output that are shown.
const MOST_LINES: usize = 40;

/// One event as people read it.
fn lines(event: &Event, look: Appearance) -> Vec<String> {
    let foreign = |text: &str| look.foreign(text).into_owned();
    match &event.body {
        EventBody::RunStarted { mode, workspace, plan, staged, .. } => {
            let mut lines = vec![format!("{} {}", look.paint(Colour::Bold, "Run"), event.run)];
            lines.extend(opening(plan, look));
            let mode = serde_json::to_value(mode).ok().and_then(|mode| mode.as_str().map(str::to_owned));
            lines.push(format!(
                "{}, {}{} in {}, {} steps",
                event.time.strftime("%Y-%m-%d %H:%M:%S UTC"),
                mode.unwrap_or_default(),
                if *staged { ", staged," } else { "" },
                foreign(&workspace.display().to_string()),
                plan.steps.len()
            ));
            lines
        }
        EventBody::RunResumed { again, taken_back, lost, changed, .. } => {
            let word = look.paint(Colour::Bold, "Resumed");
            let mut lines = vec![format!("{word} {}", event.time.strftime("%Y-%m-%d %H:%M:%S UTC"))];
            if !again.is_empty() {
                let steps: Vec<&str> = again.iter().map(|step| step.as_str()).collect();
                lines.push(format!("  to do again: {}", steps.join(", ")));
            }
            for (layers, what) in [(taken_back, "of a call without an end was taken back"), (lost, "was never applied")]
            {
                lines.extend(layers.iter().map(|layer| format!("  layer {layer} {what}")));
            }
            lines.extend(changed.iter().map(|one| format!("  forced: {}", foreign(one))));
            lines
        }
        EventBody::PlanChanged { reason, .. } => vec![format!("  plan changed: {}", foreign(reason))],
        EventBody::StepStarted { step, tool, description } => {
            vec![format!("{}  {tool}  {}", look.paint(Colour::Bold, step.as_str()), foreign(description))]
        }
        EventBody::CallIntended { attempt, tool, params, .. } => {
            vec![format!("  attempt {attempt}: {tool} {}", foreign(&gist(params)))]
        }
        EventBody::CallFinished { status, cause, error, output, duration, usage, changes, .. } => {
            let status = serde_json::to_value(status).ok().and_then(|status| status.as_str().map(str::to_owned));
            let mut facts = vec![status.unwrap_or_default()];
            facts.extend(cause.map(|cause| cause.as_str().to_owned()));
            facts.push(seconds(*duration));
            if let Some(usage) = usage {
                let about = if usage.exact { "" } else { "about " };
                facts.push(format!("{about}{} MB at most", usage.peak_memory.div_ceil(agentic_sandbox::MB)));
            }
            if let Some(changes) = changes.as_ref().filter(|set| !set.changes.is_empty()) {
                facts.push(format!("{} paths changed", changes.changes.len()));
            }
            let mut lines = vec![format!("    {}", facts.join(", "))];
            if let Some(changes) = changes {
                let mut told = Changes::default();
                told.add(changes);
                lines.extend(told.later().iter().map(|line| format!("    {}", foreign(line))));
            }
            if let Some(error) = error {
                lines.push(format!("    error: {}", foreign(&one_line(error, 400))));
            }
            let text = output_text(output);
            let all: Vec<&str> = text.lines().collect();
            for line in all.iter().take(MOST_LINES) {
                lines.push(format!("    {} {}", look.paint(Colour::Dim, "|"), foreign(line)));
            }
            if all.len() > MOST_LINES {
                lines.push(format!("    [{} more lines; --json shows them]", all.len() - MOST_LINES));
            }
            lines
        }
        EventBody::RecoveryTaken { cause, strategy, detail, .. } => vec![format!(
            "  {} {} → {strategy}: {}",
            look.paint(Colour::Yellow, "recovery:"),
            cause.as_str(),
            foreign(detail)
        )],
        EventBody::StepFinished { status, attempts, error, duration, .. } => {
            let word = look.paint(Colour::Bold, status.as_str());
            let times = if *attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
            let mut lines = vec![format!("  {word} after {times}, {}", seconds(*duration))];
            lines.extend(error.as_ref().map(|error| format!("  {}", foreign(&one_line(error, 400)))));
            lines
        }
        EventBody::RunFinished { stop_reason, error, duration } => {
            let reason = serde_json::to_value(stop_reason).ok().and_then(|word| word.as_str().map(str::to_owned));
            let mut lines =
                vec![format!("{} in {}", look.paint(Colour::Bold, &reason.unwrap_or_default()), seconds(*duration))];
            lines.extend(error.as_ref().map(|error| format!("  {}", foreign(error))));
            lines
        }
        _ => Vec::new(),
    }
}
