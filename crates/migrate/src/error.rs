//! Why a rules file cannot be used: which rule, which field, what is wrong with it, and what to do.

use std::fmt;

/// Why a rules file cannot be used.
///
/// ```
/// use agentic_migrate::RuleSet;
///
/// let error = RuleSet::from_yaml("rules: [{id: a, identifier: {from: old, to: new-name}}]", "m.yaml").unwrap_err();
/// assert_eq!(error.rule.as_deref(), Some("rule 1 (`a`)"));
/// assert_eq!(error.field.as_deref(), Some("identifier.to"));
/// assert!(error.to_string().starts_with("m.yaml:1: rule 1 (`a`): `identifier.to`: \"new-name\" is no identifier; "));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct RuleError {
    /// The name of the file, as given to [`RuleSet::from_yaml`](crate::RuleSet::from_yaml).
    pub file: Box<str>,
    /// The line of the file, from 1, where one is known.
    pub line: Option<u64>,
    /// The rule by its place, from 1, and its id: ``rule 2 (`rename-client`)``.
    pub rule: Option<Box<str>>,
    /// The field by its path in the rule: `identifier.to`.
    pub field: Option<Box<str>>,
    /// What is wrong.
    pub problem: Box<str>,
    /// What to do; empty where the problem says it.
    pub help: Box<str>,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, " {rule}:")?;
        }
        if let Some(field) = &self.field {
            write!(f, " `{field}`:")?;
        }
        write!(f, " {}", self.problem)?;
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}

/// A problem with one rule, before its place in the file is known.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) field: Option<String>,
    pub(crate) problem: String,
    pub(crate) help: String,
}

impl Problem {
    pub(crate) fn of(field: impl Into<String>, problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { field: Some(field.into()), problem: problem.into(), help: help.into() }
    }
    /// About the rule as a whole.
    pub(crate) fn whole(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self { field: None, problem: problem.into(), help: help.into() }
    }
}

/// An error of ast-grep or of regular expressions with its causes, on one line and without full stops.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // The expression, shown on lines of its own, comes first and what is wrong with it last.
        let text = text.rsplit("\nerror: ").next().unwrap_or_default().trim_end_matches('.').to_owned();
        // What says no more than which field it is about.
        let empty = text.starts_with("Fail to parse yaml") || text.ends_with("is not configured correctly");
        if !empty && words.last() != Some(&text) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}

/// Names in backticks, in one phrase.
pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
