//! What a run shows of the outputs of its steps that went well: what was read, listed and found, unless it
//! was only food for a later step, and how the last program ended. [`Findings`] decides it from the plan.

use std::collections::BTreeSet;

use agentic_executor::ExecutionPlan;
use agentic_executor::journal::OutputRef;
use agentic_executor::planner::references::{Root, references_of};
use serde_json::Value;

use crate::terminal::one_line;

/// Lines shown of what was asked to be seen.
const READ_LINES: usize = 20;
/// Lines shown of what a program or another tool said last.
const SAID_LINES: usize = 10;
/// Characters shown of a line.
const LINE: usize = 200;
/// What the reading tools answer when there is nothing.
const NOTHING: [&str; 2] = ["No matches found", "No files found"];
/// The tools whose output is what was asked for.
const READING: [&str; 3] = ["file_read", "list_files", "search"];

/// Knows which steps' outputs are for the reader.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Steps whose results a later step takes up.
    taken_up: BTreeSet<String>,
    /// Steps that others wait for.
    awaited: BTreeSet<String>,
}

impl Findings {
    /// Reads it off the plan.
    pub(crate) fn of(plan: &ExecutionPlan) -> Self {
        let mut findings = Self::default();
        for step in &plan.steps {
            findings.awaited.extend(step.depends_on.iter().map(ToString::to_string));
            for root in references_of(step).into_iter().filter_map(|reference| reference.parsed.ok()).flatten() {
                if let Root::Step { id } = root {
                    findings.taken_up.insert(id);
                }
            }
        }
        findings
    }

    /// The lines to show below a step that went well; `tail` is the end of what came by while it ran.
    pub(crate) fn lines(&self, id: &str, tool: &str, output: &OutputRef, tail: &str) -> Vec<String> {
        let whole = id.split('[').next().unwrap_or(id);
        let text = match output {
            OutputRef::Inline(Value::String(text)) => text,
            OutputRef::Stored { head, json: false, .. } => head,
            _ => return Vec::new(),
        };
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let cut_short = matches!(output, OutputRef::Stored { .. });
        if READING.contains(&tool) {
            // That there is nothing to go on with is news in any case.
            let nothing = NOTHING.contains(&text.trim_end());
            if whole != id || (self.taken_up.contains(whole) && !nothing) {
                return Vec::new();
            }
            let mut shown: Vec<String> = lines.iter().take(READ_LINES).map(|line| short(line)).collect();
            if lines.len() > READ_LINES || cut_short {
                let more = if cut_short { "more".into() } else { format!("{} more lines", lines.len() - READ_LINES) };
                shown.push(format!("… ({more}: see `agentic show`)"));
            }
            shown
        } else if self.awaited.contains(whole) {
            Vec::new()
        } else {
            // Of a long output the event holds the beginning alone.
            let lines = if cut_short { tail.trim_end().lines().collect() } else { lines };
            lines[lines.len().saturating_sub(SAID_LINES)..].iter().map(|line| short(line)).collect()
        }
    }
}

/// A line with its indentation, cut.
fn short(line: &str) -> String {
    let text = line.trim_start();
    let indent: String = line[..line.len() - text.len()].chars().take(LINE / 2).collect();
    format!("{indent}{}", one_line(text, LINE)).trim_end().to_owned()
}
