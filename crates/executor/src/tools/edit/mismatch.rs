//! The words for a text that does not fit: where it stands more than once, or what is nearest to it.

use serde_json::{Map, Value, json};

use super::closest::closest;
use crate::cause::Cause;
use crate::tools::ToolResult;

/// Lines that an error lists one by one.
const MOST_LISTED: usize = 20;

/// Line numbers as an error lists them.
pub(crate) fn listed(lines: &[usize]) -> String {
    let shown: Vec<String> = lines.iter().take(MOST_LISTED).map(usize::to_string).collect();
    let more =
        if lines.len() > MOST_LISTED { format!(" and {} more", lines.len() - MOST_LISTED) } else { String::new() };
    format!("{} {}{more}", if lines.len() == 1 { "line" } else { "lines" }, shown.join(", "))
}

pub(super) fn mismatch(message: String, path: &str, lines: &[usize], at: &str, count: usize) -> ToolResult {
    failure(message, path, lines, &format!("{at}/old"), count)
}

/// The failure of a text that is not there exactly once.
pub(crate) fn failure(message: String, path: &str, lines: &[usize], pointer: &str, count: usize) -> ToolResult {
    ToolResult::failure(Cause::EditMismatch, message)
        .with("path", path)
        .with("pointer", pointer)
        .with("occurrences", count)
        .with("lines", lines.iter().take(MOST_LISTED).copied().collect::<Vec<_>>())
}

/// New text that cannot be indented as the place is.
pub(super) fn indented_otherwise(path: &str, line: usize, at: &str) -> ToolResult {
    let message = format!(
        "Old content is in {path} with another indentation, and line {line} of new cannot be indented that way; give old and new as they are to stand in the file"
    );
    mismatch(message, path, &[], at, 1).with("pointer", format!("{at}/new"))
}

pub(super) fn not_found(path: &str, text: &str, old: &str, at: &str) -> ToolResult {
    let (words, facts) = nearest(path, text, old);
    let mut failure = mismatch(format!("Old content not found in file{words}"), path, &[], at, 0);
    failure.metadata.extend(facts);
    failure
}

/// What to say after "not found in": the file and the region of it that is most like `old`, and the same as facts.
pub(crate) fn nearest(path: &str, text: &str, old: &str) -> (String, Map<String, Value>) {
    let Some(near) = closest(text, old) else {
        return (format!(" {path}, and nothing in it is like it; read the file again"), Map::new());
    };
    let lines = if near.first == near.last {
        format!("line {}", near.first)
    } else {
        format!("lines {}-{}", near.first, near.last)
    };
    let hint = near.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    let words = format!(" {path}; the closest is {lines}{hint} (- looked for, + in the file):\n{}", near.diff);
    let facts = json!({"first_line": near.first, "last_line": near.last, "diff": near.diff});
    (words, Map::from_iter([("closest".to_owned(), facts)]))
}
