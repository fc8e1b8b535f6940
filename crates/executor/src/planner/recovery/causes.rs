//! Reading why a step failed: from its typed result first, from its message last.

use crate::cause::Cause;
use crate::planner::plan::PlanStep;

/// Why a step failed: what its result says, else what the message looks like.
pub fn cause_of(step: &PlanStep, error: &str) -> Cause {
    let typed = step
        .result
        .as_ref()
        .and_then(|result| result.cause.or_else(|| serde_json::from_value(result.metadata.get("cause")?.clone()).ok()));
    typed.unwrap_or_else(|| cause_in(error))
}

/// What a message looks like. The last resort: typed results come first.
pub(super) fn cause_in(error: &str) -> Cause {
    // In this order: "command not found" is no missing file.
    const SIGNS: &[(Cause, &[&str])] = &[
        (Cause::BlockedImport, &["blocked import"]),
        (Cause::MissingModule, &["no module named", "modulenotfounderror", "cannot find module", "module not found"]),
        (Cause::MissingCommand, &["command not found", ": not found"]),
        (Cause::UnknownTool, &["unknown tool"]),
        (Cause::InvalidArguments, &["missing required parameter", "invalid argument"]),
        (Cause::NotFound, &["file not found", "no such file", "not found", "does not exist"]),
        (Cause::PermissionDenied, &["permission denied", "not permitted", "access denied", "not allowed"]),
        (Cause::Timeout, &["timed out", "timeout"]),
        (Cause::OutOfMemory, &["out of memory", "memoryerror", "memory limit", "cannot allocate memory"]),
        (Cause::DiskFull, &["no space left", "disk full", "disk quota"]),
        (Cause::NetworkDenied, &["network is unreachable", "network is closed", "name resolution"]),
        (Cause::SyntaxError, &["syntaxerror", "syntax error"]),
        (Cause::Conflict, &["conflict on"]),
        (Cause::EditMismatch, &["old content not found"]),
    ];
    let error = error.to_lowercase();
    let sign = SIGNS.iter().find(|(_, signs)| signs.iter().any(|sign| error.contains(sign)));
    sign.map_or(Cause::Failed, |(cause, _)| *cause)
}

/// The name of the module that a message says is missing.
pub fn missing_module(error: &str) -> Option<&str> {
    let from = ["No module named ", "Cannot find module "];
    let rest = from.iter().find_map(|mark| error.split_once(mark))?.1;
    let name = rest.trim_start_matches(['\'', '"']);
    let end = name.find(|c: char| !(c.is_alphanumeric() || "_-@/".contains(c))).unwrap_or(name.len());
    (end > 0 && !name.starts_with(['-', '/', '.'])).then_some(&name[..end])
}

/// The program that a message says is missing.
pub(super) fn missing_command(error: &str) -> Option<&str> {
    // `sh: 1: pytest: not found`, `bash: line 1: pytest: command not found`
    let before = error.split_once(": command not found").or_else(|| error.split_once(": not found"))?.0;
    let name = before.rsplit([' ', '\n', ':']).next()?;
    (!name.is_empty()).then_some(name)
}
