//! What the rules did to one text.

use std::fmt;

use serde::Serialize;

/// What the rules did to one text.
///
/// ```
/// use agentic_migrate::RuleSet;
/// use std::path::Path;
///
/// let rules = RuleSet::from_yaml("rules: [{id: new-name, identifier: {from: old, to: new}}]", "m.yaml").unwrap();
/// let rewrite = rules.rewrite(Path::new("a.py"), "x = old(1)  # old\n");
/// assert_eq!(rewrite.text.as_deref(), Some("x = new(1)  # old\n"));
/// assert_eq!((rewrite.matches[0].line, rewrite.matches[0].column), (1, 5));
/// assert_eq!(serde_json::to_value(&rewrite).unwrap()["matches"][0]["after"], "new");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rewrite {
    /// The new text; `None` when it is the old one.
    pub text: Option<String>,
    /// What was replaced, rule by rule, at most [`Rewrite::KEPT`] for each; [`Applied::matches`] counts all.
    pub matches: Vec<Match>,
    /// What was not replaced though a rule matched or might have, at most [`Rewrite::KEPT`] for each rule.
    pub left: Vec<Left>,
    /// The rules that would change their own result once more. Their changes are made.
    pub not_idempotent: Vec<NotIdempotent>,
    /// What each rule that was looked at came to, in order.
    pub applied: Vec<Applied>,
}

impl Rewrite {
    /// How many matches, and how many that were left, are told for each rule and text.
    pub const KEPT: usize = 1000;
}

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Match {
    /// The id of the rule.
    pub rule: String,
    /// The line, from 1, of the text as the rule met it: earlier rules may have changed the count.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What stood there, cut after 120 characters.
    pub before: String,
    /// What stands there now, cut likewise.
    pub after: String,
}

/// Something that a rule left as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Left {
    /// The id of the rule.
    pub rule: String,
    /// The line, from 1, of the text as the rule met it; 1 when it is about the file as a whole.
    pub line: usize,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: rule `{}` {}", self.line, self.rule, self.reason)
    }
}

/// Why a rule left something as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The match overlaps one that was replaced.
    Overlaps,
    /// The file parsed before and would not afterwards: it keeps its text from before the rule.
    WouldNotParse,
    /// The text is longer than [`Limits::bytes`](crate::Limits::bytes).
    FileTooLarge,
    /// The result would be longer than [`Limits::bytes`](crate::Limits::bytes).
    ResultTooLarge,
    /// The syntax tree is deeper than [`Limits::depth`](crate::Limits::depth).
    TooDeep,
    /// It took longer than [`Limits::time`](crate::Limits::time).
    TooSlow,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlaps => "matches within another match that was replaced; `repeat: 5` replaces nested ones too",
            Self::WouldNotParse => "was not applied: the file would no longer parse; `syntax_check: false` allows it",
            Self::FileTooLarge => "was not applied: the file is larger than the limit",
            Self::ResultTooLarge => "was not applied: the file would become larger than the limit",
            Self::TooDeep => "was not applied: the file is nested deeper than the limit",
            Self::TooSlow => "was not applied: it took longer than the limit",
        })
    }
}

/// A rule that changes its own result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NotIdempotent {
    /// The id of the rule.
    pub rule: String,
    /// The line, from 1, of the first place of the rule's result that the rule would change again.
    pub line: usize,
    /// What stands there, cut after 120 characters.
    pub before: String,
    /// What the rule would make of it, cut likewise.
    pub after: String,
}

/// What one rule came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Applied {
    /// The id of the rule.
    pub rule: String,
    /// How many replacements it made.
    pub matches: usize,
    /// Whether the result was found to parse. Not so where the language is not known, the file did not parse before
    /// either, the rule says `syntax_check: false`, or nothing was changed.
    pub parses: bool,
    /// How long it took, its checks included.
    pub micros: u64,
}
