//! The form of a rules file, as it is written and as its JSON Schema describes it.

use std::collections::HashMap;

use ast_grep_config::{SerializableRewriter, SerializableRule, Transformation};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::error::{Problem, names};
use crate::language::Language;
use crate::roles::Part;

/// Rules that rewrite source text. They apply in order, each to the result of the one before.
#[derive(JsonSchema)]
#[schemars(title = "Migration rules", deny_unknown_fields)]
pub(crate) struct FileForm {
    /// The rules, in the order in which they apply.
    #[schemars(length(min = 1, max = 1000))]
    #[expect(dead_code, reason = "described here for the schema, and read rule by rule for better errors")]
    rules: Vec<RuleForm>,
}

/// One rule: exactly one of `identifier`, `regex`, `pattern`, `rule` and `command`, and what belongs to it.
#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields, transform = one_action)]
pub(crate) struct RuleForm {
    /// A name for reports, unique in the file; `rule-N` by its place when left out.
    pub(crate) id: Option<String>,
    /// What the rule is for.
    pub(crate) message: Option<String>,
    /// The files it is for, as globs from the root of the tree: `*` within a folder, `**` across folders, `!` takes
    /// out, a glob without a slash matches the name in any folder, and the last that matches decides. All when left out.
    pub(crate) files: Option<OneOrMany<String>>,
    /// Globs of files it is not for.
    pub(crate) exclude: Option<OneOrMany<String>>,
    /// The languages of the files it is for, told by their names. `pattern` and `rule` need at least one.
    pub(crate) language: Option<OneOrMany<Language>>,
    /// Apply only to a file that contains each of these texts.
    pub(crate) if_contains: Option<OneOrMany<String>>,
    /// Apply only to a file that contains none of these texts.
    pub(crate) unless_contains: Option<OneOrMany<String>>,
    /// `false`: do not report when the rule would change its own result again. By default it is reported.
    pub(crate) idempotent: Option<bool>,
    /// `false`: change a file even if it would no longer parse. By default such a file is left as it was.
    pub(crate) syntax_check: Option<bool>,
    /// Apply the rule to its own result until nothing changes, up to this many times, for matches within matches: 1.
    #[schemars(range(min = 1, max = 50))]
    pub(crate) repeat: Option<u32>,
    /// Rename whole identifiers.
    pub(crate) identifier: Option<IdentifierForm>,
    /// Replace what a regular expression matches.
    pub(crate) regex: Option<RegexForm>,
    /// Replace what this code matches, where `$NAME` stands for one node and `$$$NAME` for any number: a text, or an
    /// object of `context` and `selector`. Short for `rule: {pattern: …}`.
    #[schemars(with = "Option<TextOrFields>")]
    pub(crate) pattern: Option<Value>,
    /// Replace what this rule of ast-grep matches.
    pub(crate) rule: Option<SerializableRule>,
    /// Further conditions on what the names of the pattern match.
    pub(crate) constraints: Option<HashMap<String, SerializableRule>>,
    /// Rules for use in `matches`.
    pub(crate) utils: Option<HashMap<String, SerializableRule>>,
    /// New names, made from what the names of the pattern match.
    pub(crate) transform: Option<HashMap<String, Transformation>>,
    /// Rules for the transformation `rewrite`.
    pub(crate) rewriters: Option<Vec<SerializableRewriter>>,
    /// What a match of `pattern` or `rule` is replaced by: a text with the names of the pattern, or an object of
    /// `template`, `expandStart` and `expandEnd`.
    #[schemars(with = "Option<TextOrFields>")]
    pub(crate) fix: Option<Value>,
    /// A command that is run over the tree at this place in the order.
    pub(crate) command: Option<String>,
}

/// A rename of whole identifiers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(crate) struct IdentifierForm {
    /// The old name.
    pub(crate) from: String,
    /// The new name.
    pub(crate) to: String,
    /// Where: in code when left out. The bodies of macros of C and the names in formats of Rust (`"{name}"`) are code
    /// too. In files of no known language all text is code.
    #[serde(default = "code", rename = "in")]
    pub(crate) parts: Vec<Part>,
}

fn code() -> Vec<Part> {
    vec![Part::Code]
}

/// A regular expression with its replacement.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(crate) struct RegexForm {
    /// In the syntax of Rust's crate `regex`. It may not match the empty text. For a line end write `\r?\n`.
    pub(crate) pattern: String,
    /// The text in its place; `$1` and `${name}` are groups, `$$` is a dollar sign.
    pub(crate) replacement: String,
    /// `^` and `$` match at the lines' ends too.
    #[serde(default)]
    pub(crate) multi_line: bool,
    /// `.` matches line ends too.
    #[serde(default)]
    pub(crate) dot_all: bool,
    /// Upper and lower case are the same.
    #[serde(default)]
    pub(crate) ignore_case: bool,
    /// Where: everywhere when left out. Anything else needs files of a known language, and a match stays within one
    /// string, one comment, or one stretch of code between them.
    #[serde(default)]
    pub(crate) scope: Scope,
}

/// The part of a file that a regular expression is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// The whole text.
    #[default]
    All,
    /// What is neither string nor comment.
    Code,
    /// Strings.
    Strings,
    /// Comments.
    Comments,
}

impl Scope {
    pub(crate) fn part(self) -> Option<Part> {
        match self {
            Self::All => None,
            Self::Code => Some(Part::Code),
            Self::Strings => Some(Part::Strings),
            Self::Comments => Some(Part::Comments),
        }
    }
}

/// One, or a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(crate) enum OneOrMany<T> {
    /// One.
    One(T),
    /// A list.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(crate) fn list(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// Of a field that may be left out.
pub(crate) fn list<T>(field: Option<OneOrMany<T>>) -> Vec<T> {
    field.map(OneOrMany::list).unwrap_or_default()
}

impl RuleForm {
    /// The fields, in the order of the documentation.
    pub(crate) const FIELDS: [&str; 20] = [
        "id",
        "message",
        "files",
        "exclude",
        "language",
        "if_contains",
        "unless_contains",
        "idempotent",
        "syntax_check",
        "repeat",
        "identifier",
        "regex",
        "pattern",
        "rule",
        "constraints",
        "utils",
        "transform",
        "rewriters",
        "fix",
        "command",
    ];

    /// Reads the fields of one rule, stopping at the first that cannot be read.
    pub(crate) fn read(fields: &Map<String, Value>) -> Result<Self, Problem> {
        let mut form = Self::default();
        for (name, value) in fields {
            let value = value.clone();
            match name.as_str() {
                "id" => form.id = Some(take(name, value, "write a text")?),
                "message" => form.message = Some(take(name, value, "write a text")?),
                "files" => form.files = Some(take(name, value, "write a glob or a list of globs")?),
                "exclude" => form.exclude = Some(take(name, value, "write a glob or a list of globs")?),
                "language" => form.language = Some(languages(value)?),
                "if_contains" => form.if_contains = Some(take(name, value, "write a text or a list of texts")?),
                "unless_contains" => form.unless_contains = Some(take(name, value, "write a text or a list of texts")?),
                "idempotent" => form.idempotent = Some(take(name, value, "write `true` or `false`")?),
                "syntax_check" => form.syntax_check = Some(take(name, value, "write `true` or `false`")?),
                "repeat" => form.repeat = Some(take(name, value, "write a number from 1 to 50")?),
                "identifier" => form.identifier = Some(take(name, value, "write `{from: OLD, to: NEW}`")?),
                "regex" => form.regex = Some(take(name, value, "write `{pattern: REGEX, replacement: TEXT}`")?),
                "pattern" => form.pattern = Some(value),
                "rule" => form.rule = Some(take(name, value, AST_GREP)?),
                "constraints" => form.constraints = Some(take(name, value, AST_GREP)?),
                "utils" => form.utils = Some(take(name, value, AST_GREP)?),
                "transform" => form.transform = Some(take(name, value, AST_GREP)?),
                "rewriters" => form.rewriters = Some(take(name, value, AST_GREP)?),
                "fix" => form.fix = Some(value),
                "command" => form.command = Some(take(name, value, "write the command as one text")?),
                _ => return Err(unknown(name)),
            }
        }
        Ok(form)
    }
}

const AST_GREP: &str = "it is read as in a rule file of ast-grep";

pub(crate) fn take<T: DeserializeOwned>(field: &str, value: Value, help: &str) -> Result<T, Problem> {
    serde_json::from_value(value).map_err(|error| {
        let problem = match error.to_string() {
            untagged if untagged.contains("untagged enum") => "it has none of the forms that it may have".to_owned(),
            problem => problem,
        };
        // `false`, `1` and `1.0` are no texts to YAML.
        let quotes = if problem.ends_with("expected a string") {
            ", and text that looks like another value in quotes"
        } else {
            ""
        };
        Problem::of(field, problem, format!("{help}{quotes}"))
    })
}

fn languages(value: Value) -> Result<OneOrMany<Language>, Problem> {
    let written: OneOrMany<String> = take("language", value, "write a language or a list of languages")?;
    let read = |name: String| {
        Language::named(&name).ok_or_else(|| {
            let known = names(Language::ALL.iter().map(|language| language.name()));
            Problem::of("language", format!("unknown language {name:?}"), format!("the languages are {known}"))
        })
    };
    written.list().into_iter().map(read).collect::<Result<_, _>>().map(OneOrMany::Many)
}

fn unknown(name: &str) -> Problem {
    let help = match name {
        "ignores" => "the files a rule is not for are `exclude`".to_owned(),
        "from" | "to" | "in" => "it belongs into `identifier: {from: OLD, to: NEW}`".to_owned(),
        "replacement" | "scope" | "ignore_case" => {
            "it belongs into `regex: {pattern: REGEX, replacement: TEXT}`".to_owned()
        }
        _ => format!("the fields are {}", names(RuleForm::FIELDS)),
    };
    Problem::of(name, "unknown field", help)
}

/// A field that ast-grep describes and checks.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "for the schema alone")]
enum TextOrFields {
    /// Code.
    Text(String),
    /// Code with what belongs to it.
    Fields(Map<String, Value>),
}

/// Exactly one action, with `fix` where it has to be.
fn one_action(schema: &mut Schema) {
    let actions = ["identifier", "regex", "pattern", "rule", "command"];
    let one = |action: &str| match action {
        "pattern" | "rule" => json!({ "required": [action, "fix", "language"] }),
        _ => json!({ "required": [action] }),
    };
    schema.insert("oneOf".into(), actions.map(one).to_vec().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_and_the_reader_have_the_same_fields() {
        let schema = schemars::schema_for!(RuleForm).to_value();
        let described: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, RuleForm::FIELDS);
        for field in RuleForm::FIELDS {
            let read = RuleForm::read(&Map::from_iter([(field.to_owned(), Value::Bool(true))]));
            let unknown = read.is_err_and(|problem| problem.problem == "unknown field");
            assert!(!unknown, "{field}");
        }
    }
}
