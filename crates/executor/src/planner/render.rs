//! A plan as text, JSON, Mermaid, DOT or YAML.
//!
//! In the two graph languages nodes are called `s1`, `s2`, …, and everything a plan's author wrote stands in
//! escaped labels only: an id or a description cannot become syntax.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::file::PlanFile;
use super::plan::{ExecutionPlan, Expect, PlanStep};
use crate::id::StepId;

/// How a plan is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// The summary, policies and assumptions.
    #[default]
    Text,
    /// [`ExecutionPlan::to_dict`], indented.
    Json,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
    /// A plan file.
    Yaml,
}

/// The plan in that form, with a newline at the end.
pub fn render(plan: &ExecutionPlan, format: Format) -> String {
    let mut text = match format {
        Format::Text => text(plan),
        Format::Json => format!("{:#}", plan.to_dict()),
        Format::Mermaid => mermaid(plan),
        Format::Dot => dot(plan),
        Format::Yaml => PlanFile::of(plan.clone()).to_yaml(),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn text(plan: &ExecutionPlan) -> String {
    let mut text = plan.summary();
    let assumptions = plan.assumptions();
    if !assumptions.is_empty() {
        text.push_str("\nAssumed:");
        for assumption in assumptions {
            let _ = write!(text, "\n  - {assumption}");
        }
    }
    // A terminal obeys control characters; a plan's text is only to be read.
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// What leads to a step, by place: dependencies, and the step it stands in for.
fn edges(plan: &ExecutionPlan) -> Vec<(usize, usize, bool)> {
    let places: HashMap<&StepId, usize> =
        plan.steps.iter().enumerate().map(|(place, step)| (&step.id, place)).collect();
    let mut edges = Vec::new();
    for (place, step) in plan.steps.iter().enumerate() {
        edges.extend(step.depends_on.iter().filter_map(|id| Some((*places.get(id)?, place, false))));
        edges.extend(step.fallback().iter().filter_map(|id| Some((place, *places.get(id)?, true))));
    }
    edges
}

fn lines(number: usize, step: &PlanStep) -> Vec<String> {
    let mut lines = vec![format!("{number}. {} ({})", step.description, step.tool)];
    if step.expect == Expect::Failure {
        lines.push("expects failed tests".into());
    }
    if step.for_each.is_some() {
        lines.push("for each item".into());
    }
    if let Some(when) = &step.when {
        lines.push(format!("when {when}"));
    }
    lines
}

fn mermaid(plan: &ExecutionPlan) -> String {
    let mut text = String::from("flowchart TD\n");
    for (place, step) in plan.steps.iter().enumerate() {
        let label: Vec<String> = lines(place + 1, step).iter().map(|line| mermaid_label(line)).collect();
        let _ = writeln!(text, "    s{}[\"{}\"]", place + 1, label.join("<br/>"));
    }
    for (from, to, fallback) in edges(plan) {
        let arrow = if fallback { "-. fallback .->" } else { "-->" };
        let _ = writeln!(text, "    s{} {arrow} s{}", from + 1, to + 1);
    }
    text
}

/// Letters, digits and harmless signs as they are; anything else as Mermaid's numeric entities.
fn mermaid_label(text: &str) -> String {
    let mut label = String::new();
    for c in text.chars() {
        match c {
            c if c.is_alphanumeric() || " .,:!?()/=-".contains(c) => label.push(c),
            c if c.is_whitespace() || c.is_control() => label.push(' '),
            c => {
                let _ = write!(label, "#{};", u32::from(c));
            }
        }
    }
    label
}

fn dot(plan: &ExecutionPlan) -> String {
    let mut text = format!("digraph plan {{\n    label=\"{}\";\n    node [shape=box];\n", dot_label(&plan.task));
    for (place, step) in plan.steps.iter().enumerate() {
        let label: Vec<String> = lines(place + 1, step).iter().map(|line| dot_label(line)).collect();
        let _ = writeln!(text, "    s{} [label=\"{}\"];", place + 1, label.join("\\n"));
    }
    for (from, to, fallback) in edges(plan) {
        let style = if fallback { " [style=dashed, label=\"fallback\"]" } else { "" };
        let _ = writeln!(text, "    s{} -> s{}{style};", from + 1, to + 1);
    }
    text.push_str("}\n");
    text
}

/// A quoted string of DOT: `\` would start an escape such as `\N`.
fn dot_label(text: &str) -> String {
    let mut label = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' => label.extend(['\\', c]),
            c if c.is_whitespace() || c.is_control() => label.push(' '),
            c => label.push(c),
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::planner::{ForEach, OnFailure};

    fn plan() -> ExecutionPlan {
        let mut plan = ExecutionPlan::new("say \"hi\"\\");
        let first = plan.add_step("shell", Map::new(), "Echo \"]; evil --> [<b>", vec![]).id.clone();
        plan.add_step("file_read", Map::new(), "Read\nfiles\u{1b}[31m", vec![first]);
        plan.add_step("shell", Map::new(), "Instead", vec![]);
        plan.steps[0].on_failure = OnFailure::Fallback(vec!["step_3".into()]);
        plan.steps[1].for_each = Some(ForEach { items: json!([1]), name: "item".into() });
        plan.assume("the sun shines");
        plan
    }

    #[test]
    fn mermaid_labels_cannot_become_syntax() {
        assert_eq!(
            render(&plan(), Format::Mermaid),
            "flowchart TD\n    \
             s1[\"1. Echo #34;#93;#59; evil --#62; #91;#60;b#62; (shell)\"]\n    \
             s2[\"2. Read files #91;31m (file#95;read)<br/>for each item\"]\n    \
             s3[\"3. Instead (shell)\"]\n    \
             s1 -. fallback .-> s3\n    \
             s1 --> s2\n"
        );
    }

    #[test]
    fn dot_labels_cannot_become_syntax() {
        let dot = render(&plan(), Format::Dot);
        assert!(dot.contains("label=\"say \\\"hi\\\"\\\\\";"), "{dot}");
        assert!(dot.contains("s1 [label=\"1. Echo \\\"]; evil --> [<b> (shell)\"];"), "{dot}");
        assert!(dot.contains("s1 -> s3 [style=dashed, label=\"fallback\"];"), "{dot}");
    }

    #[test]
    fn text_shows_assumptions_and_no_control_characters() {
        let text = render(&plan(), Format::Text);
        assert!(text.ends_with("\nAssumed:\n  - the sun shines\n"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn json_and_yaml_read_back_as_the_same_plan() {
        let plan = plan();
        for format in [Format::Json, Format::Yaml] {
            let text = render(&plan, format);
            let file = PlanFile::parse(&text, "x").unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(file.plan, plan, "{text}");
        }
        let json: Value = serde_json::from_str(&render(&plan, Format::Json)).unwrap();
        assert_eq!(json["steps"][0]["status"], "pending");
    }
}
