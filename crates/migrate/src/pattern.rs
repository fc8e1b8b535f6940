//! The patterns within a rule: read as ast-grep reads them, and looked at before it does.

use ast_grep_core::language::Language as _;
use ast_grep_core::matcher::PatternNode;
use ast_grep_core::{Pattern, PatternError};
use ast_grep_language::SupportLang;
use serde_json::Value;

use crate::edit::short;
use crate::error::{Problem, chain};
use crate::language::Language;
use crate::limits::{Allowance, Limits};
use crate::syntax::parse;

/// The longest and the deepest pattern. Reading one recurses.
const MOST_BYTES: usize = 16 << 10;
const MOST_LEVELS: usize = 200;

/// A pattern as ast-grep reads it: a text, or an object of `context` and `selector`.
pub(crate) fn read_pattern(value: &Value, language: SupportLang) -> Result<Pattern, PatternError> {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    match (value.as_str().or(text("context")), text("selector")) {
        (Some(context), Some(selector)) => Pattern::contextual(context, selector, language),
        (context, _) => Pattern::try_new(context.unwrap_or_default(), language),
    }
}

/// Looks at every pattern within a value: that it is not too large to be read, and is code of the language.
pub(crate) fn check_patterns(path: &str, key: &str, value: &Value, language: Language) -> Result<(), Problem> {
    let code = match value {
        Value::String(code) if key == "pattern" => Some(code),
        Value::Object(fields) if key == "pattern" => match fields.get("context") {
            Some(Value::String(code)) => Some(code),
            _ => None,
        },
        _ => None,
    };
    if let Some(code) = code {
        return check_pattern(path, code, value, language);
    }
    match value {
        Value::Object(fields) => {
            fields.iter().try_for_each(|(key, value)| check_patterns(&format!("{path}.{key}"), key, value, language))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(place, value)| check_patterns(&format!("{path}[{place}]"), "", value, language)),
        _ => Ok(()),
    }
}

fn check_pattern(path: &str, code: &str, value: &Value, language: Language) -> Result<(), Problem> {
    let name = language.name();
    let shown = short(code);
    let bad =
        |why: String, help: &str| Err(Problem::of(path, format!("bad pattern {shown:?} for {name}: {why}"), help));
    let simpler = "a pattern is one piece of code, with `$NAME` for one node and `$$$NAME` for any number; a piece that \
                   cannot stand alone is `{context: CODE, selector: KIND}`";
    if code.len() > MOST_BYTES {
        return bad(format!("it is longer than {MOST_BYTES} bytes"), "use a shorter one");
    }
    let source = language.grammar().pre_process_pattern(code);
    let Some(tree) = parse(&source, language, None, &Allowance::begin(Limits::default())) else {
        return bad("it takes too long to parse".into(), "use a shorter one");
    };
    let mut cursor = tree.walk();
    let mut depth = 0;
    'nodes: loop {
        if cursor.goto_first_child() {
            depth += 1;
            if depth > MOST_LEVELS {
                return bad(format!("it is nested deeper than {MOST_LEVELS} levels"), "use a flatter one");
            }
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                break 'nodes;
            }
            depth -= 1;
        }
    }
    let pattern = match read_pattern(value, language.grammar()) {
        Ok(pattern) => pattern,
        Err(PatternError::NoContent(_)) => return bad("there is no code in it".into(), simpler),
        Err(PatternError::MultipleNode(_)) => return bad("it is more than one piece of code".into(), simpler),
        Err(PatternError::RootMultiMetaVar(_)) => return bad("alone it stands for no one node".into(), simpler),
        Err(PatternError::NoSelectorInContext { selector, .. }) => {
            return bad(format!("no `{selector}` is in it"), simpler);
        }
        Err(error) => return bad(chain(&error), simpler),
    };
    let mut rest = vec![&pattern.node];
    while let Some(node) = rest.pop() {
        let kind = match node {
            PatternNode::Terminal { kind_id, .. } => *kind_id,
            PatternNode::Internal { kind_id, children } => {
                rest.extend(children);
                *kind_id
            }
            PatternNode::MetaVar { .. } => continue,
        };
        if kind == u16::MAX {
            return bad("it does not parse".into(), simpler);
        }
    }
    Ok(())
}
