//! The report of a migration, for people and as JSON.

use std::io::Write;

use agentic_executor::ExecutionResult;
use agentic_migrate::conduct::{MigrationReport, MigrationStatus, Trouble};
use serde_json::{Value, json};

use crate::args::MigrateArgs;
use crate::error::{Result, unless_gone};
use crate::terminal::{Appearance, Colour, one_line};

/// Files, and places that were left, that are shown.
const MOST_SHOWN: usize = 20;
/// Lines of a failed command's output that are shown.
const MOST_LINES: usize = 25;

pub(super) fn json(result: &ExecutionResult, report: &MigrationReport) -> Result<()> {
    let mut value = serde_json::to_value(report).unwrap_or(Value::Null);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("run_id".into(), json!(result.run_id));
        fields.insert("error".into(), json!(error(result)));
    }
    unless_gone(writeln!(std::io::stdout(), "{value}"))
}

/// What went wrong, as the step that failed says it.
fn error(result: &ExecutionResult) -> Option<&str> {
    let answers = result.steps.iter().filter_map(|step| step.result.as_ref());
    let said = answers.filter(|answer| !answer.is_success()).find_map(|answer| answer.error.as_deref());
    said.or(result.error.as_deref()).filter(|_| !result.success)
}

/// On a dry run the diff is on standard output and the report on standard error, so that the diff can be piped.
pub(super) fn text(result: &ExecutionResult, report: &MigrationReport, args: &MigrateArgs) -> Result<()> {
    let look = if args.dry_run { Appearance::of_stderr() } else { Appearance::of_stdout() };
    for line in lines(result, report, args, look) {
        let written =
            if args.dry_run { writeln!(std::io::stderr(), "{line}") } else { writeln!(std::io::stdout(), "{line}") };
        unless_gone(written)?;
    }
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn lines(result: &ExecutionResult, report: &MigrationReport, args: &MigrateArgs, look: Appearance) -> Vec<String> {
    let mut lines = Vec::new();
    let foreign = |text: &str| look.foreign(&one_line(text, 300)).into_owned();
    for rule in &report.rules {
        let what = match (rule.kind.as_str(), rule.matches) {
            ("command", count) => format!("changed {}", counted(count, "file")),
            (_, 0) => "matches nothing".to_owned(),
            (_, 1) => "1 match".to_owned(),
            (_, count) => format!("{count} matches in {}", counted(rule.files, "file")),
        };
        lines.push(format!("rule {}: {what}", foreign(&rule.id)));
    }
    for again in report.not_idempotent.iter().take(MOST_SHOWN) {
        let label = look.paint(Colour::Yellow, "changes its own result again:");
        let (before, after) = (foreign(&again.before), foreign(&again.after));
        lines.push(format!(
            "{label} rule {} in {}:{}: {before} → {after}",
            foreign(&again.rule),
            foreign(&again.path),
            again.line
        ));
    }
    more(&mut lines, report.not_idempotent.len());
    for left in report.left.iter().take(MOST_SHOWN) {
        let place = left.line.map(|line| format!(":{line}")).unwrap_or_default();
        let rule = left.rule.as_ref().map(|rule| format!("rule {} ", foreign(rule))).unwrap_or_default();
        let label = look.paint(Colour::Yellow, "left:");
        lines.push(format!("{label} {}{place}: {rule}{}", foreign(&left.path), foreign(&left.reason)));
    }
    more(&mut lines, report.left.len());
    for one in &report.rejected {
        let label = look.paint(Colour::Red, "does not verify:");
        let why = one
            .trouble
            .as_ref()
            .map_or_else(|| "not tried alone".to_owned(), |trouble| format!("`{}` {}", trouble.command, trouble.ended));
        lines.push(format!("{label} {}: {}", foreign(&one.path), foreign(&why)));
        lines.extend(one.trouble.as_ref().map(|trouble| output(trouble, look)).unwrap_or_default());
    }
    let verification = report.verification.as_ref();
    if let (Some(trouble), true) = (verification.and_then(|told| told.trouble.as_ref()), report.rejected.is_empty()) {
        lines.extend(output(trouble, look));
    }
    if report.passed_over.not_text > 0 {
        lines.push(format!("passed over: {} that are no UTF-8 text", counted(report.passed_over.not_text, "file")));
    }
    if report.passed_over.unreadable_folders > 0 {
        let count = usize::try_from(report.passed_over.unreadable_folders).unwrap_or(usize::MAX);
        lines.push(format!("passed over: {} that cannot be read", counted(count, "folder")));
    }
    if let Some(told) = verification.filter(|told| !told.rewritten.is_empty()) {
        let named = told.rewritten.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        let more = if told.rewritten.len() > 5 { ", …" } else { "" };
        lines.push(look.foreign(&format!(
            "note: the commands themselves wrote to {named}{more}: that text verified, and the one of the rules was applied \
             (a formatter belongs into a `command:` rule)"
        )).into_owned());
    }
    if let Some(told) = verification.filter(|told| !told.complete) {
        lines.push(format!(
            "the search ended after {}, as --max-verifications says",
            counted(told.runs, "verification")
        ));
    }
    if !args.dry_run {
        for file in report.kept().take(MOST_SHOWN) {
            let sign = match file.change.as_str() {
                "added" => 'A',
                "deleted" => 'D',
                _ => 'M',
            };
            lines.push(format!("{sign} {}", foreign(&file.path)));
        }
        more(&mut lines, report.kept().count());
    }
    lines.push(closing(result, report, args, look));
    lines
}

fn more(lines: &mut Vec<String>, count: usize) {
    if count > MOST_SHOWN {
        lines.push(format!("… and {} more; --json has them", count - MOST_SHOWN));
    }
}

fn closing(result: &ExecutionResult, report: &MigrationReport, args: &MigrateArgs, look: Appearance) -> String {
    let seconds = report.seconds.rewrite + report.seconds.verify + report.seconds.apply;
    let verified = match &report.verification {
        Some(told) if told.runs > 0 => format!(", {}", counted(told.runs, "verification")),
        _ => String::new(),
    };
    let kept = counted(report.kept().count(), "file");
    if let Some(error) = error(result) {
        let said = look.foreign(error.trim_end()).into_owned();
        let changed = if report.kept().next().is_some() {
            format!("{kept} of batches before changed")
        } else {
            "no file was changed".into()
        };
        return format!("{} {said}; {changed}", look.paint(Colour::Red, "failed:"));
    }
    let run = result.run_id.as_str();
    match report.status {
        MigrationStatus::Unchanged if report.rejected.is_empty() => "no file was changed".to_owned(),
        _ if args.dry_run => format!("{kept} would be changed{verified}, in {seconds:.2} s; nothing was applied"),
        MigrationStatus::PartlyApplied => {
            let label = look.paint(Colour::Yellow, "partly applied:");
            let left = counted(report.rejected.len(), "file");
            format!("{label} {kept} changed, {left} left{verified}, in {seconds:.2} s (run {run})")
        }
        MigrationStatus::Red => {
            let label = look.paint(Colour::Red, "failed:");
            let left = counted(report.rejected.len(), "file");
            format!("{label} nothing of it verifies, {left} left{verified}; no file was changed")
        }
        _ => {
            let label = look.paint(Colour::Green, "applied:");
            format!("{label} {kept} changed{verified}, in {seconds:.2} s (run {run})")
        }
    }
}

/// The end of what a command printed.
fn output(trouble: &Trouble, look: Appearance) -> Vec<String> {
    let all: Vec<&str> = trouble.output.lines().collect();
    let cut = all.len().saturating_sub(MOST_LINES);
    all[cut..].iter().map(|line| look.paint(Colour::Dim, &format!("    | {}", look.foreign(line)))).collect()
}
