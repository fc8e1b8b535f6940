//! Failures of the same cause put together: a missing module that breaks forty tests is one thing to mend.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::TestCase;

/// Tests that failed for what looks like the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestGroup {
    /// The reason, as the first of them tells it.
    pub cause: String,
    /// Their ids.
    pub tests: Vec<String>,
}

/// What differs between two tellings of one failure: addresses, numbers, quoted values, paths of temporary files.
static VARIES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"0x[0-9a-fA-F]+|/tmp/[^\s:'"]+|'[^']*'|"[^"]*"|`[^`]*`|\d+(\.\d+)?"#)
        .unwrap_or_else(|error| unreachable!("a pattern of ours: {error}"))
});

/// Groups of at least two, the largest first.
pub(super) fn group(tests: &[TestCase]) -> Vec<TestGroup> {
    let mut groups: Vec<TestGroup> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for test in tests.iter().filter(|test| test.status.is_failure()) {
        let cause = test.message.clone().unwrap_or_else(|| test.status.as_str().replace('_', " "));
        // A module that is missing is named between quotes: two different ones are two causes.
        let varies = !cause.contains("No module named") && !cause.contains("Cannot find module");
        let key = if varies { VARIES.replace_all(&cause, "_").into_owned() } else { cause.clone() };
        let key = format!("{} {key}", test.status.as_str());
        match places.get(&key) {
            Some(place) => groups[*place].tests.push(test.id.clone()),
            None => {
                places.insert(key, groups.len());
                groups.push(TestGroup { cause, tests: vec![test.id.clone()] });
            }
        }
    }
    groups.retain(|group| group.tests.len() > 1);
    // Stable: of the same size, the one that was seen first.
    groups.sort_by_key(|group| std::cmp::Reverse(group.tests.len()));
    groups
}
