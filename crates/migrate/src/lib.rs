//! Rules that rewrite source text: a rename of whole identifiers, a regular expression, or a pattern over the syntax
//! tree, read from one YAML file and applied in order.
//!
//! [`RuleSet::from_yaml`] reads the rules, [`RuleSet::may_apply`] says whether a file concerns them, and
//! [`RuleSet::rewrite`] turns a text into its successor with a report ([`Rewrite`]): what was replaced, what was left
//! and why. One decision: the rules read no file, start no process and look at no environment. Walking the tree,
//! keeping the old state and checking the result are their caller's, and so are the commands that a rules file names
//! ([`RuleSet::stages`]). The module `conduct` is such a caller: a tool of the executor.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | rule | one entry of the file: which files it is for, what it looks for, what it puts there |
//! | match | a place that a rule replaced |
//! | left | a place, or a file, that a rule would have changed and did not, with the reason |
//! | part | code, strings or comments of a file, as its language's grammar tells them |
//! | stage | rules that can be applied file by file, up to the next command |
//!
//! # A rules file
//!
//! ```
//! let text = r#"
//! rules:
//!   ## Whole names: not `fetch_data`, not the word in a string or a comment.
//!   - id: fetch
//!     identifier: { from: fetch, to: load }
//!   ## Text, in any file; `scope: strings` and the like confine it to a part.
//!   - id: host
//!     files: ["**/*.py", "*.cfg", "!vendored/"]
//!     regex: { pattern: 'old\.example\.(com|org)', replacement: 'new.example.$1', scope: all }
//!   ## Code, as ast-grep matches it.
//!   - id: assert
//!     language: python
//!     pattern: self.assertEquals($A, $B)
//!     fix: self.assertEqual($A, $B)
//!   - id: format
//!     command: ruff format .
//! "#;
//! let rules = agentic_migrate::RuleSet::from_yaml(text, "migrate.yaml")?;
//! assert_eq!(rules.rules().len(), 4);
//! assert_eq!(rules.commands().next().unwrap().line, "ruff format .");
//! # Ok::<(), agentic_migrate::RuleError>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "conduct")]
pub mod conduct;
mod edit;
mod error;
mod expression;
mod form;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod globs;
mod identifier;
mod language;
mod limits;
mod literal;
mod pattern;
mod places;
mod report;
mod rewrite;
mod roles;
mod rule;
mod set;
mod structure;
mod syntax;
mod target;
mod yaml;

pub use error::RuleError;
pub use language::Language;
pub use limits::Limits;
pub use report::{Applied, Left, Match, NotIdempotent, Reason, Rewrite};
pub use rule::{Command, Rule};
pub use set::{RuleSet, Stage};
