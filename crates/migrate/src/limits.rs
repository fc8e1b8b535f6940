//! What one file may cost.

use std::time::{Duration, Instant};

/// What one file may cost. Beyond it a rule leaves the file as it is and says so.
///
/// ```
/// use agentic_migrate::{Limits, Reason, RuleSet};
/// use std::path::Path;
///
/// let rules = RuleSet::from_yaml("rules: [{identifier: {from: a, to: b}}]", "m.yaml").unwrap();
/// let rules = rules.with_limits(Limits { bytes: 4, ..Limits::default() });
/// let rewrite = rules.rewrite(Path::new("x.py"), "a = 1\n");
/// assert_eq!(rewrite.text, None);
/// assert_eq!(rewrite.left[0].reason, Reason::FileTooLarge);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest text, before and after each rule: 4 MiB.
    pub bytes: usize,
    /// The deepest syntax tree that patterns are looked for in: 500 levels. Comparing two nodes
    /// recurses: a thread with a stack of 2 MiB has room for three times as many.
    pub depth: usize,
    /// The longest time that one rule may take over one file, parsing included: 10 s. One search for a regular
    /// expression is not broken off; its time is bounded by the length of the text times the size of the expression.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 20, depth: 500, time: Duration::from_secs(10) }
    }
}

/// The limits of one rule's work on one file, begun now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    pub(crate) limits: Limits,
    deadline: Instant,
}

impl Allowance {
    pub(crate) fn begin(limits: Limits) -> Self {
        // Without a sum there is no moment to wait for: a year is as good as never.
        let year = Duration::from_secs(365 * 86400);
        Self { limits, deadline: Instant::now() + limits.time.min(year) }
    }
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }
}
