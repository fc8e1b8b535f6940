//! Events → lines. What a run says while it goes on and when it has ended, as text without a terminal in
//! sight: [`Story`] follows the events and answers each with the lines to print.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use agentic_executor::journal::OutputRef;
use agentic_executor::workspace::ChangeSet;
use agentic_executor::{Event, EventBody, ExecutionPlan, ExecutionResult, StepStatus, StopReason};
use agentic_sandbox::Denial;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::changes::Changes;
use crate::findings::Findings;
use crate::rollback::counted;
use crate::terminal::{Appearance, Colour, one_line};

/// Lines of output that a failed step shows.
const TAIL_LINES: usize = 15;
/// Lines that an error may have and still be told beside an output.
const MOST_ERROR_LINES: usize = 200;
/// Bytes of output kept per step for that.
const TAIL_BYTES: usize = 16 * 1024;

/// What the engine says where the closed network was what stopped a step.
const CLOSED: &str = "the network is closed to steps";
/// How it is opened.
const OPEN: &str = "hint: AGENTIC_NETWORK=host opens it, or `network = \"host\"` under [sandbox] in your config.toml";

/// What is remembered of a step while it runs.
#[derive(Debug, Default)]
struct Step {
    tool: String,
    description: String,
    tail: String,
    error: Option<String>,
    cause: Option<&'static str>,
    /// The argument that says most about its call.
    gist: String,
    /// The line of a long error that decided.
    decided: Option<String>,
    /// What the call was refused, in words.
    denials: Vec<String>,
    /// The processes that the call left behind, in words.
    left: Option<String>,
    /// What is shown of its output when it went well.
    found: Vec<String>,
}

/// Follows a run and tells it line by line.
#[derive(Debug)]
pub(crate) struct Story {
    look: Appearance,
    steps: BTreeMap<String, Step>,
    changes: Changes,
    findings: Findings,
    /// The recovery that was told last: the change of plan that it makes is the same news.
    told: String,
}

impl Story {
    /// A story of a run in `workspace`, for a stream that looks like this.
    pub(crate) fn new(look: Appearance, workspace: &Path) -> Self {
        Self {
            look,
            steps: BTreeMap::new(),
            changes: Changes::within(workspace),
            findings: Findings::default(),
            told: String::new(),
        }
    }

    /// The lines that an event adds.
    pub(crate) fn tell(&mut self, event: &Event) -> Vec<String> {
        let look = self.look;
        match &event.body {
            EventBody::RunStarted { plan, .. } => {
                self.know(plan);
                opening(plan, look)
            }
            EventBody::RunResumed { plan, again, taken_back, .. } => {
                self.know(plan);
                let mut lines = opening(plan, look);
                let mark = self.mark("~", Colour::Cyan);
                lines.push(format!("{mark} resumed; steps that completed are not done again"));
                if !again.is_empty() {
                    let steps: Vec<&str> = again.iter().map(|step| step.as_str()).collect();
                    lines.push(format!("{mark} to do again: {}", steps.join(", ")));
                }
                if !taken_back.is_empty() {
                    lines.push(format!("{mark} taken back first: what a step that was cut off had changed"));
                }
                lines
            }
            EventBody::RunFinished { .. } => {
                let lines = self.changes.line().into_iter().chain(self.changes.later());
                lines.map(|line| look.foreign(&line).into_owned()).collect()
            }
            EventBody::PlanChanged { reason, plan } => {
                self.know(plan);
                if !self.told.is_empty() && reason.ends_with(&self.told) {
                    return Vec::new();
                }
                vec![format!("{} plan changed: {}", self.mark("~", Colour::Cyan), look.foreign(reason))]
            }
            EventBody::StepStarted { step, tool, description } => {
                let gist = self.steps.remove(step.as_str()).map(|known| known.gist).unwrap_or_default();
                self.steps.insert(
                    step.to_string(),
                    Step { tool: tool.clone(), description: description.clone(), gist, ..Step::default() },
                );
                if look.live || step.as_str().contains('[') {
                    Vec::new()
                } else {
                    vec![format!("start    {}", self.title(step.as_str()))]
                }
            }
            EventBody::CallIntended { step: Some(step), params, .. } => {
                if let Some(step) = self.steps.get_mut(step.as_str()) {
                    step.gist = gist(params);
                    step.tail.clear();
                }
                Vec::new()
            }
            EventBody::CallOutput { step: Some(step), text, .. } => {
                if let Some(step) = self.steps.get_mut(step.as_str()) {
                    keep(&mut step.tail, text);
                }
                Vec::new()
            }
            EventBody::CallFinished { step: Some(step), cause, error, output, metadata, changes, .. } => {
                self.changes.add(changes.as_ref().unwrap_or(&ChangeSet::default()));
                let found = self
                    .steps
                    .get(step.as_str())
                    .map(|known| self.findings.lines(step.as_str(), &known.tool, output, &known.tail));
                if let Some(step) = self.steps.get_mut(step.as_str()) {
                    step.found = found.unwrap_or_default();
                    step.cause = cause.map(|cause| cause.as_str());
                    step.error.clone_from(error);
                    step.denials = denials(metadata);
                    step.left = left(metadata);
                    step.decided = metadata.get("message").and_then(Value::as_str).map(str::to_owned);
                    let text = output_text(output);
                    // Of a long output the event holds the beginning; what came by says how it ended.
                    let came_by = matches!(output, OutputRef::Stored { .. }) && !step.tail.is_empty();
                    if !text.is_empty() && !came_by {
                        step.tail.clear();
                        keep(&mut step.tail, &text);
                    }
                }
                Vec::new()
            }
            EventBody::RecoveryTaken { step, cause, strategy, detail } if strategy == "give_up" => {
                let mark = self.mark("given up", Colour::Yellow);
                let mut lines = vec![format!("{mark} {step}: {}: {}", cause.as_str(), look.foreign(detail))];
                if detail.contains(CLOSED) {
                    lines.push(format!("        {OPEN}"));
                }
                lines
            }
            EventBody::RecoveryTaken { step, cause, strategy, detail } => {
                self.told.clone_from(detail);
                vec![format!(
                    "{} {}: {} → {}: {}",
                    self.mark("again", Colour::Yellow),
                    step,
                    cause.as_str(),
                    strategy,
                    look.foreign(detail)
                )]
            }
            EventBody::StepFinished { step, status, attempts, error, duration } => {
                self.ending(step.as_str(), *status, *attempts, error.as_deref(), *duration)
            }
            _ => Vec::new(),
        }
    }

    /// Takes in what a plan says of its steps: one that is skipped never starts.
    fn know(&mut self, plan: &ExecutionPlan) {
        self.findings = Findings::of(plan);
        for step in plan.steps.iter().filter(|step| step.status == StepStatus::Pending) {
            self.steps.entry(step.id.to_string()).or_insert_with(|| Step {
                tool: step.tool.clone(),
                description: step.description.clone(),
                gist: gist(&step.params),
                ..Step::default()
            });
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
        let mut title = self.title(id);
        let step = self.steps.remove(id).unwrap_or_default();
        // The items of one step differ in what they are called with alone.
        if id.contains('[') && step.description != step.tool && !step.gist.is_empty() {
            title = format!("{title}: {}", self.look.foreign(&step.gist));
        }
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
        if status == StepStatus::Completed {
            for line in &step.found {
                lines.push(format!("        {} {}", self.look.paint(Colour::Dim, "|"), self.look.foreign(line)));
            }
        }
        if status == StepStatus::Failed {
            if !step.gist.is_empty() {
                lines.push(format!("        {}: {}", step.tool, self.look.foreign(&step.gist)));
            }
            let tail: Vec<&str> = step.tail.lines().collect();
            for line in &tail[tail.len().saturating_sub(TAIL_LINES)..] {
                lines.push(format!("        {} {}", self.look.paint(Colour::Dim, "|"), self.look.foreign(line)));
            }
        }
        if let Some(error) = error.or(step.error.as_deref()).filter(|_| status != StepStatus::Completed) {
            for line in self.why(error, &step) {
                lines.push(format!("        {}", self.look.foreign(&line)));
            }
        }
        lines.extend(step.left.iter().map(|left| format!("        {}", self.look.foreign(left))));
        if status == StepStatus::Failed {
            lines.extend(step.denials.iter().map(|denial| format!("        {}", self.look.foreign(denial))));
        }
        lines
    }

    /// What went wrong, as far as the output has not said it already.
    fn why(&self, error: &str, step: &Step) -> Vec<String> {
        let cut = |line: &str| line.trim_end().chars().take(400).collect::<String>();
        let unsaid = |line: &&str| !line.trim().is_empty() && !step.tail.contains(line.trim());
        // An error of many lines is the output itself, whose end is shown already.
        let output = !step.tail.is_empty() && error.lines().nth(MOST_ERROR_LINES).is_some();
        let mut lines: Vec<String> = if output { Vec::new() } else { error.lines().filter(unsaid).map(cut).collect() };
        let shown = |line: &&str| step.tail.lines().rev().take(TAIL_LINES).any(|other| other.contains(*line));
        if lines.is_empty() {
            lines.extend(step.decided.as_deref().filter(|line| !shown(line)).map(cut));
        }
        if lines.len() > TAIL_LINES {
            lines.truncate(TAIL_LINES);
            lines.push("…".into());
        }
        lines
    }

    /// `step_2  shell  Run tests`.
    pub(crate) fn title(&self, id: &str) -> String {
        let Some(step) = self.steps.get(id) else { return id.to_owned() };
        // A step without a description is called as its tool is: its argument says more.
        let said = if step.description == step.tool { &step.gist } else { &step.description };
        let description = one_line(said, 100);
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

/// The first of what a call says that it was refused.
fn denials(metadata: &Map<String, Value>) -> Vec<String> {
    let list = metadata.get("denials").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let read = |value: &Value| Denial::deserialize(value).ok();
    list.iter().filter_map(read).take(3).map(|denial| denial.to_string()).collect()
}

/// What a call left running when it ended, and what became of it.
fn left(metadata: &Map<String, Value>) -> Option<String> {
    let names = metadata.get("left_processes")?.as_array()?;
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    (!names.is_empty()).then(|| one_line(&format!("left running, and ended with the step: {}", names.join(", ")), 200))
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
    if let Some(staged) = result.metadata.get("staged") {
        let paths = staged.get("changes").and_then(Value::as_u64).unwrap_or(0);
        lines.push(match staged.get("applied").and_then(Value::as_bool) {
            Some(true) => format!("  {} changed", counted(usize::try_from(paths).unwrap_or(usize::MAX))),
            _ => "  nothing was applied: the workspace is as it was".to_owned(),
        });
    }
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
        let mut story = Story::new(PIPE, Path::new("/w"));
        assert_eq!(tell(&mut story, started()), ["start    step_1  shell  Run tests"]);
        assert_eq!(
            tell(&mut story, finished(StepStatus::Completed)),
            ["ok       step_1  shell  Run tests  (1.2 s, 2 attempts)"]
        );
    }

    #[test]
    fn a_failure_shows_the_end_of_its_output_and_nothing_that_a_terminal_obeys() {
        let mut story = Story::new(SCREEN, Path::new("/w"));
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
        let mut story = Story::new(PIPE, Path::new("/w"));
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
    fn what_was_asked_to_be_seen_is_shown_and_what_was_not_is_left_out() {
        let plan: ExecutionPlan = serde_json::from_value(json!({"task": "t", "steps": [
            {"id": "find", "tool": "search", "params": {"pattern": "x"}, "description": "Find"},
            {"id": "look", "tool": "file_read", "params": {"path": "a"}, "description": "Look", "depends_on": ["find"]},
            {"id": "use", "tool": "shell", "params": {"command": "echo ${{ steps.find.output }}"},
             "description": "Use", "depends_on": ["find", "look"]},
            {"id": "last", "tool": "shell", "params": {"command": "true"}, "description": "Last", "depends_on": ["use"]},
        ]}))
        .unwrap();
        let findings = Findings::of(&plan);
        let text = OutputRef::Inline(json!((0..30).map(|n| format!("  line {n}\n")).collect::<String>()));
        assert!(findings.lines("find", "search", &text, "").is_empty(), "a later step takes it up");
        let read = findings.lines("look", "file_read", &text, "");
        assert_eq!((read.len(), read[0].as_str()), (21, "  line 0"));
        assert_eq!(read[20], "… (10 more lines: see `agentic show`)");
        assert!(findings.lines("use", "shell", &text, "").is_empty(), "others wait for it");
        let said = findings.lines("last", "shell", &text, "");
        assert_eq!((said.len(), said[9].as_str()), (10, "  line 29"));
        assert!(findings.lines("last", "shell", &OutputRef::Inline(json!({"a": 1})), "").is_empty(), "no text");
    }

    #[test]
    fn a_step_that_never_starts_is_named_and_a_change_is_told_once() {
        let plan: ExecutionPlan = serde_json::from_value(json!({"task": "t", "steps": [
            {"id": "step_1", "tool": "shell", "params": {"command": "pytest"}, "description": "Run tests"},
        ]}))
        .unwrap();
        let mut story = Story::new(PIPE, Path::new("/w"));
        let changed = |reason: &str| EventBody::PlanChanged { reason: reason.into(), plan: plan.clone() };
        assert_eq!(tell(&mut story, changed("step_1: expanded")).len(), 1);
        let taken = EventBody::RecoveryTaken {
            step: "step_1".into(),
            cause: Cause::MissingCommand,
            strategy: "use_alternative_command".into(),
            detail: "using python3".into(),
        };
        assert_eq!(tell(&mut story, taken).len(), 1);
        assert!(tell(&mut story, changed("step_1: using python3")).is_empty());
        let line = tell(&mut story, finished(StepStatus::Skipped)).remove(0);
        assert!(line.starts_with("skipped  step_1  shell  Run tests"), "{line}");

        let mut nameless = plan.clone();
        nameless.steps[0].description = "shell".into();
        tell(&mut story, EventBody::PlanChanged { reason: "other".into(), plan: nameless });
        let begun = EventBody::StepStarted { step: "step_1".into(), tool: "shell".into(), description: "shell".into() };
        assert_eq!(tell(&mut story, begun), ["start    step_1  shell  pytest"]);
    }

    #[test]
    fn memory_stays_bounded_however_much_is_printed() {
        let mut story = Story::new(PIPE, Path::new("/w"));
        tell(&mut story, started());
        for _ in 0..100 {
            tell(&mut story, printed(&"é".repeat(4000)));
        }
        assert!(story.steps["step_1"].tail.len() <= 2 * TAIL_BYTES + 8000);
    }
}
