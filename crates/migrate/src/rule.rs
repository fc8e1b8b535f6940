//! One rule, compiled: which files it is for, under which conditions, and what it does.

use memchr::memmem::Finder;
use serde_json::{Map, Value};

use crate::edit::Edits;
use crate::error::{Problem, names};
use crate::expression::Expression;
use crate::form::{RuleForm, list};
use crate::globs::Globs;
use crate::identifier::Identifier;
use crate::language::Language;
use crate::limits::Allowance;
use crate::report::Reason;
use crate::structure::Structure;
use crate::syntax::Draft;
use crate::target::Target;

const ACTIONS: [&str; 5] = ["identifier", "regex", "pattern", "rule", "command"];
/// What belongs to `pattern` and `rule` alone.
const STRUCTURAL: [&str; 5] = ["constraints", "utils", "transform", "rewriters", "fix"];

/// One rule of a [`RuleSet`](crate::RuleSet).
#[derive(Debug)]
pub struct Rule {
    pub(crate) id: String,
    message: Option<String>,
    globs: Globs,
    languages: Vec<Language>,
    if_contains: Vec<Finder<'static>>,
    unless_contains: Vec<Finder<'static>>,
    pub(crate) idempotent: bool,
    pub(crate) syntax_check: bool,
    pub(crate) repeat: u32,
    pub(crate) action: Action,
}

/// What a rule does.
#[derive(Debug)]
pub(crate) enum Action {
    Identifier(Box<Identifier>),
    Expression(Expression),
    Structure(Structure),
    Command(Command),
}

/// A command that is run over the tree at its place among the rules. It is carried here, and never run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Command {
    /// The id of its rule.
    pub id: String,
    /// What it is for, as the rule says.
    pub message: Option<String>,
    /// The command line, as written.
    pub line: String,
}

impl Rule {
    /// Its id: as written, or `rule-N` by its place.
    pub fn id(&self) -> &str {
        &self.id
    }
    /// What it is for, as written.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
    /// The languages it is limited to; empty when it is for any file.
    pub fn languages(&self) -> &[Language] {
        &self.languages
    }
    /// The field that says what it does: `identifier`, `regex`, `pattern` (for `rule` too) or `command`.
    pub fn kind(&self) -> &'static str {
        match self.action {
            Action::Identifier(_) => "identifier",
            Action::Expression(_) => "regex",
            Action::Structure(_) => "pattern",
            Action::Command(_) => "command",
        }
    }
    /// The command, if it is one.
    pub fn command(&self) -> Option<&Command> {
        match &self.action {
            Action::Command(command) => Some(command),
            _ => None,
        }
    }

    pub(crate) fn compile(id: String, fields: &Map<String, Value>) -> Result<Self, Problem> {
        let mut form = RuleForm::read(fields)?;
        check_fields(fields)?;
        let globs = Globs::compile(&list(form.files.take()), &list(form.exclude.take()))?;
        let any = form.language.is_none();
        let mut languages = list(form.language.take());
        if languages.is_empty() && !any {
            return Err(Problem::of("language", "the list is empty", "leave it out for any language"));
        }
        languages.dedup();
        let action = if let Some(form) = &form.identifier {
            Action::Identifier(Box::new(Identifier::compile(&form.from, &form.to, &form.parts)?))
        } else if let Some(form) = &form.regex {
            Action::Expression(Expression::compile(form)?)
        } else if let Some(line) = &form.command {
            if line.trim().is_empty() {
                return Err(Problem::of("command", "the command is empty", "write the command line"));
            }
            Action::Command(Command { id: id.clone(), message: form.message.clone(), line: line.clone() })
        } else {
            Action::Structure(Structure::compile(&form, fields, &languages)?)
        };
        let repeat = form.repeat.unwrap_or(1);
        if !(1..=50).contains(&repeat) {
            return Err(Problem::of("repeat", format!("{repeat} is out of range"), "write a number from 1 to 50"));
        }
        Ok(Self {
            id,
            message: form.message,
            globs,
            languages,
            if_contains: finders("if_contains", list(form.if_contains))?,
            unless_contains: finders("unless_contains", list(form.unless_contains))?,
            idempotent: form.idempotent.unwrap_or(true),
            syntax_check: form.syntax_check.unwrap_or(true),
            repeat,
            action,
        })
    }

    /// As which language it reads the file; `None` when it is not for that file.
    pub(crate) fn reads(&self, target: &Target<'_>) -> Option<Option<Language>> {
        let language = target.language(&self.languages);
        let takes = match &self.action {
            Action::Identifier(identifier) => {
                language.is_some() || self.languages.is_empty() && identifier.takes_text()
            }
            Action::Expression(expression) => {
                language.is_some() || self.languages.is_empty() && !expression.needs_language()
            }
            Action::Structure(_) => language.is_some(),
            Action::Command(_) => false,
        };
        (takes && self.globs.take(&target.candidate)).then_some(language)
    }

    /// Whether it may change the text: its conditions hold, and what it needs is there.
    pub(crate) fn may_match(&self, text: &str, language: Option<Language>) -> bool {
        let contains = |finder: &Finder<'_>| finder.find(text.as_bytes()).is_some();
        let matches = match &self.action {
            Action::Identifier(identifier) => identifier.may_match(text),
            Action::Expression(expression) => expression.may_match(text),
            Action::Structure(structure) => structure.may_match(text, language),
            Action::Command(_) => false,
        };
        matches && self.if_contains.iter().all(contains) && !self.unless_contains.iter().any(contains)
    }

    pub(crate) fn find(
        &self,
        draft: &mut Draft<'_>,
        language: Option<Language>,
        allowance: &Allowance,
    ) -> Result<Edits, Reason> {
        match &self.action {
            Action::Identifier(identifier) => identifier.find(draft, language, allowance),
            Action::Expression(expression) => expression.find(draft, language, allowance),
            Action::Structure(structure) => structure.find(draft, language, allowance),
            Action::Command(_) => Ok(Edits::default()),
        }
    }
}

/// That there is one action, and only what belongs to it.
fn check_fields(fields: &Map<String, Value>) -> Result<(), Problem> {
    let given: Vec<&str> = ACTIONS.into_iter().filter(|action| fields.contains_key(*action)).collect();
    let action = match given[..] {
        [action] => action,
        [] => {
            let help = format!("give one of {}", names(ACTIONS));
            return Err(Problem::whole("the rule does nothing", help));
        }
        _ => {
            let problem = format!("the rule does {} things: {}", given.len(), names(given.iter().copied()));
            return Err(Problem::whole(problem, "make a rule of each; they apply in order"));
        }
    };
    for field in fields.keys().map(String::as_str) {
        let belongs = match action {
            "command" => matches!(field, "id" | "message" | "command"),
            "pattern" | "rule" => true,
            _ => !STRUCTURAL.contains(&field),
        };
        if !belongs {
            let problem = format!("it does not go with `{action}`");
            let help = match action {
                "command" => "a command is given the whole tree: beside it there are `id` and `message`",
                _ => "it goes with `pattern` and `rule`",
            };
            return Err(Problem::of(field, problem, help));
        }
    }
    Ok(())
}

fn finders(field: &str, texts: Vec<String>) -> Result<Vec<Finder<'static>>, Problem> {
    let finder = |text: String| match text.is_empty() {
        true => Err(Problem::of(field, "the text is empty, and every file contains it", "leave it out")),
        false => Ok(Finder::new(&text).into_owned()),
    };
    texts.into_iter().map(finder).collect()
}
