//! Events → lines. What a run says while it goes on and when it has ended, as text without a terminal in
//! sight: [`Story`] follows the events and answers each with the lines to print.

use std::collections::BTreeMap;
use std::time::Duration;

use agentic_executor::journal::OutputRef;
use agentic_executor::workspace::ChangeSet;
use agentic_executor::{Event, EventBody, ExecutionPlan, ExecutionResult, StepStatus, StopReason};
use serde_json::{Map, Value};

use crate::changes::Changes;
use crate::terminal::{Appearance, Colour, one_line};

/// Lines of output that a failed step shows.
const TAIL_LINES: usize = 15;
/// Bytes of output kept per step for that.
const TAIL_BYTES: usize = 16 * 1024;

/// What is remembered of a step while it runs.
#[derive(Debug, Default)]
struct Step {
    tool: String,
    description: String,
    tail: String,
    error: Option<String>,
    cause: Option<&'static str>,
}

/// Follows a run and tells it line by line.
#[derive(Debug)]
pub(crate) struct Story {
    look: Appearance,
    steps: BTreeMap<String, Step>,
    changes: Changes,
}

impl Story {
    /// A story for a stream that looks like this.
    pub(crate) fn new(look: Appearance) -> Self {
        Self { look, steps: BTreeMap::new(), changes: Changes::default() }
    }

    /// The lines that an event adds.
    pub(crate) fn tell(&mut self, event: &Event) -> Vec<String> {
        let look = self.look;
        match &event.body {
            EventBody::RunStarted { plan, workspace, .. } => {
                self.changes = Changes::within(workspace);
                opening(plan, look)
            }
            EventBody::RunFinished { .. } => {
                self.changes.line().map(|line| look.foreign(&line).into_owned()).into_iter().collect()
            }
            EventBody::PlanChanged { reason, .. } => {
                vec![format!("{} plan changed: {}", self.mark("~", Colour::Cyan), look.foreign(reason))]
            }
            EventBody::StepStarted { step, tool, description } => {
                self.steps.insert(
                    step.to_string(),
                    Step { tool: tool.clone(), description: description.clone(), ..Step::default() },
                );
                if look.live { Vec::new() } else { vec![format!("start    {}", self.title(step.as_str()))] }
            }
            EventBody::CallOutput { step: Some(step), text, .. } => {
                if let Some(step) = self.steps.get_mut(step.as_str()) {
                    keep(&mut step.tail, text);
                }
                Vec::new()
            }
            EventBody::CallFinished { step: Some(step), cause, error, output, changes, .. } => {
                self.changes.add(changes.as_ref().unwrap_or(&ChangeSet::default()));
                if let Some(step) = self.steps.get_mut(step.as_str()) {
                    step.cause = cause.map(|cause| cause.as_str());
                    step.error.clone_from(error);
                    let text = output_text(output);
                    if !text.is_empty() {
                        step.tail.clear();
                        keep(&mut step.tail, &text);
                    }
                }
                Vec::new()
            }
            EventBody::RecoveryTaken { step, cause, strategy, detail } if strategy == "give_up" => vec![format!(
                "{} {}: {}: {}",
                self.mark("given up", Colour::Yellow),
                step,
                cause.as_str(),
                look.foreign(detail)
            )],
            EventBody::RecoveryTaken { step, cause, strategy, detail } => vec![format!(
                "{} {}: {} → {}: {}",
                self.mark("again", Colour::Yellow),
                step,
                cause.as_str(),
                strategy,
                look.foreign(detail)
            )],
            EventBody::StepFinished { step, status, attempts, error, duration } => {
                self.ending(step.as_str(), *status, *attempts, error.as_deref(), *duration)
            }
            _ => Vec::new(),
        }
    }

    fn ending(
        &mut self,
        id: &str,
        status: StepStatus,
        attempts: u32,
        error: Option<&str>,
        duration: Duration,
    ) -> Vec<String> {
        let (word, colour) = match status {
            StepStatus::Completed => ("ok", Colour::Green),
            StepStatus::Skipped => ("skipped", Colour::Yellow),
            StepStatus::Failed => ("FAILED", Colour::Red),
            StepStatus::Pending | StepStatus::Running => ("stopped", Colour::Yellow),
        };
        let title = self.title(id);
        let step = self.steps.remove(id).unwrap_or_default();
        let mut facts = vec![seconds(duration)];
        if attempts > 1 {
            facts.push(format!("{attempts} attempts"));
        }
        if let (StepStatus::Failed, Some(cause)) = (status, step.cause) {
            facts.push(cause.to_owned());
        }
        if let (StepStatus::Completed, Some(_)) = (status, step.cause) {
            facts.push("failed, as the plan expects".into());
        }
        let mut lines = vec![format!(
            "{} {title}  {}",
            self.mark(word, colour),
            self.look.paint(Colour::Dim, &format!("({})", facts.join(", ")))
        )];
        if status == StepStatus::Failed {
            let tail: Vec<&str> = step.tail.lines().collect();
            for line in &tail[tail.len().saturating_sub(TAIL_LINES)..] {
                lines.push(format!("        {} {}", self.look.paint(Colour::Dim, "|"), self.look.foreign(line)));
            }
        }
        if let Some(error) = error.or(step.error.as_deref()).filter(|_| status != StepStatus::Completed) {
            let error = one_line(error, 400);
            if !step.tail.contains(&error) {
                lines.push(format!("        {}", self.look.foreign(&error)));
            }
        }
        lines
    }

    /// `step_2  shell  Run tests`.
    pub(crate) fn title(&self, id: &str) -> String {
        let Some(step) = self.steps.get(id) else { return id.to_owned() };
        let description = one_line(&step.description, 100);
        let title =
            format!("{}  {}  {}", self.look.paint(Colour::Bold, id), step.tool, self.look.foreign(&description));
        title.trim_end().to_owned()
    }

    /// The last line that a step printed.
    pub(crate) fn latest(&self, id: &str) -> String {
        let line = self.steps.get(id).and_then(|step| step.tail.lines().rev().find(|line| !line.trim().is_empty()));
        self.look.foreign(&one_line(line.unwrap_or_default(), 60)).into_owned()
    }

    /// A word on a plain stream, a sign on a live one.
    fn mark(&self, word: &str, colour: Colour) -> String {
        let sign = match (self.look.live, word) {
            (false, _) => format!("{word:<8}"),
            (true, "ok") => "✓".to_owned(),
            (true, "FAILED") => "✗".to_owned(),
            (true, "again") => "↻".to_owned(),
            (true, "skipped" | "stopped" | "given up") => "–".to_owned(),
            (true, other) => other.to_owned(),
        };
        self.look.paint(colour, &sign)
    }
}

/// What is said before the first step: the task and what the planner assumed.
pub(crate) fn opening(plan: &ExecutionPlan, look: Appearance) -> Vec<String> {
    let mut lines = vec![format!("{} {}", look.paint(Colour::Bold, "Task:"), look.foreign(&one_line(&plan.task, 300)))];
    if let Some(Value::Array(assumptions)) = plan.metadata.get("assumptions") {
        for assumption in assumptions {
            let text = assumption.as_str().map_or_else(|| assumption.to_string(), str::to_owned);
            lines.push(format!("  {} {}", look.paint(Colour::Cyan, "assumed:"), look.foreign(&text)));
        }
    }
    lines
}

/// What is said after the last step.
pub(crate) fn closing(result: &ExecutionResult, look: Appearance) -> Vec<String> {
    let (word, colour) = match result.stop_reason {
        StopReason::Succeeded => ("Succeeded", Colour::Green),
        StopReason::Failed => ("Failed", Colour::Red),
        StopReason::Partial => ("Partly done", Colour::Yellow),
        StopReason::Denied => ("Denied", Colour::Red),
        StopReason::Limit => ("Stopped by a limit", Colour::Red),
        StopReason::Unenforceable => ("Refused: this host cannot enforce a control", Colour::Red),
        StopReason::Cancelled => ("Cancelled", Colour::Yellow),
    };
    let done = result.steps.iter().filter(|step| step.result.as_ref().is_some_and(|r| r.is_success())).count();
    let planned = result.metadata.get("steps").and_then(|counts| counts.get("total")?.as_u64());
    let total = planned.unwrap_or(result.steps.len() as u64);
    let mut lines = vec![format!(
        "{}: {done} of {total} steps done in {}",
        look.paint(colour, word),
        seconds(Duration::try_from_secs_f64(result.total_time).unwrap_or_default())
    )];
    if let Some(error) = &result.error {
        lines.extend(error.trim_end().lines().map(|line| format!("  {}", look.foreign(line))));
    }
    lines.push(look.paint(Colour::Dim, &format!("  agentic show {}", result.run_id)));
    lines
}

/// The text that an event holds of an output.
pub(crate) fn output_text(output: &OutputRef) -> String {
    match output {
        OutputRef::Inline(Value::String(text)) => text.clone(),
        OutputRef::Inline(Value::Null) => String::new(),
        OutputRef::Inline(other) => other.to_string(),
        OutputRef::Stored { size, head, .. } => format!("{head}\n[{size} bytes in all, kept in the store]"),
    }
}

/// The argument that says most about a call, for one line.
pub(crate) fn gist(params: &Map<String, Value>) -> String {
    let first = ["command", "path", "pattern", "code"].into_iter().find_map(|name| params.get(name));
    match first {
        Some(Value::String(text)) => one_line(text, 80),
        Some(other) => one_line(&other.to_string(), 80),
        None if params.is_empty() => String::new(),
        None => one_line(&Value::Object(params.clone()).to_string(), 80),
    }
}

/// A duration as people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s < 0.0995 => format!("{:.0} ms", s * 1000.0),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{} min {:02} s", (s / 60.0) as u64, (s % 60.0) as u64),
    }
}

fn keep(tail: &mut String, text: &str) {
    tail.push_str(text);
    if tail.len() > 2 * TAIL_BYTES {
        let cut = (tail.len() - TAIL_BYTES..tail.len()).find(|at| tail.is_char_boundary(*at)).unwrap_or(0);
        tail.drain(..cut);
    }
}

#[cfg(test)]
mod tests {
    use agentic_executor::Cause;
    use serde_json::json;

    use super::*;

    const PIPE: Appearance = Appearance { terminal: false, colour: false, live: false };
    const SCREEN: Appearance = Appearance { terminal: true, colour: false, live: true };

    fn tell(story: &mut Story, body: EventBody) -> Vec<String> {
        let event = Event { version: 1, run: "r".into(), sequence: 0, time: jiff::Timestamp::UNIX_EPOCH, body };
        story.tell(&event)
    }
    fn started() -> EventBody {
        EventBody::StepStarted { step: "step_1".into(), tool: "shell".into(), description: "Run tests".into() }
    }
    fn printed(text: &str) -> EventBody {
        EventBody::CallOutput { call: "c".into(), step: Some("step_1".into()), text: text.into() }
    }
    fn finished(status: StepStatus) -> EventBody {
        EventBody::StepFinished {
            step: "step_1".into(),
            status,
            attempts: 2,
            error: None,
            duration: Duration::from_millis(1250),
        }
    }

    #[test]
    fn a_pipe_gets_a_line_at_each_end_of_a_step() {
        let mut story = Story::new(PIPE);
        assert_eq!(tell(&mut story, started()), ["start    step_1  shell  Run tests"]);
        assert_eq!(
            tell(&mut story, finished(StepStatus::Completed)),
            ["ok       step_1  shell  Run tests  (1.2 s, 2 attempts)"]
        );
    }

    #[test]
    fn a_failure_shows_the_end_of_its_output_and_nothing_that_a_terminal_obeys() {
        let mut story = Story::new(SCREEN);
        assert!(tell(&mut story, started()).is_empty());
        for line in 0..40 {
            tell(&mut story, printed(&format!("line {line}\n")));
        }
        tell(&mut story, printed("\x1b]0;title\x07 last\n"));
        let lines = tell(&mut story, finished(StepStatus::Failed));
        assert_eq!(lines.len(), 1 + TAIL_LINES);
        assert!(lines[0].starts_with("✗ step_1"));
        assert_eq!(lines[1], "        | line 26");
        assert_eq!(lines[TAIL_LINES], "        | \\x1b]0;title\\x07 last");
    }

    #[test]
    fn recoveries_and_assumptions_are_said() {
        let mut story = Story::new(PIPE);
        let taken = EventBody::RecoveryTaken {
            step: "step_1".into(),
            cause: Cause::NotFound,
            strategy: "search_by_name".into(),
            detail: "looking for config.yaml".into(),
        };
        assert_eq!(tell(&mut story, taken), ["again    step_1: not_found → search_by_name: looking for config.yaml"]);
        let mut plan = ExecutionPlan::new("run tests");
        plan.metadata.insert("assumptions".into(), json!(["test command: pytest"]));
        assert_eq!(opening(&plan, PIPE), ["Task: run tests", "  assumed: test command: pytest"]);
    }

    #[test]
    fn memory_stays_bounded_however_much_is_printed() {
        let mut story = Story::new(PIPE);
        tell(&mut story, started());
        for _ in 0..100 {
            tell(&mut story, printed(&"é".repeat(4000)));
        }
        assert!(story.steps["step_1"].tail.len() <= 2 * TAIL_BYTES + 8000);
    }
}
