//! Texts that a file must contain for a rule to match anywhere in it, so that most files need not be parsed.

use ast_grep_core::matcher::PatternNode;
use ast_grep_core::tree_sitter::LanguageExt;
use ast_grep_language::SupportLang;
use memchr::memmem::Finder;
use serde_json::{Map, Value};

use crate::pattern::read_pattern;

/// The text contains one of these, or the rule matches nowhere.
#[derive(Debug)]
pub(crate) struct Needed(Vec<Finder<'static>>);

impl Needed {
    pub(crate) fn new(texts: &[String]) -> Self {
        Self(texts.iter().map(|text| Finder::new(text).into_owned()).collect())
    }
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.0.iter().any(|finder| finder.find(text.as_bytes()).is_some())
    }
}

/// The texts of which a file that an ast-grep rule matches contains one; `None` when nothing can be said.
///
/// `depth` bounds how far `matches` is followed through `utils`.
pub(crate) fn needed(
    rule: &Value,
    utils: &Map<String, Value>,
    language: SupportLang,
    depth: usize,
) -> Option<Vec<String>> {
    let fields = rule.as_object()?;
    let depth = depth.checked_sub(1)?;
    let inner = |rule: &Value| needed(rule, utils, language, depth);
    // All fields of a rule must hold: take the one that says most.
    fields
        .iter()
        .filter_map(|(field, value)| match field.as_str() {
            "pattern" => of_pattern(value, language).map(|text| vec![text]),
            "inside" | "has" | "precedes" | "follows" => inner(value),
            "all" => value.as_array()?.iter().filter_map(inner).reduce(better),
            "any" => {
                let every: Option<Vec<_>> = value.as_array()?.iter().map(inner).collect();
                every.map(|every| every.concat()).filter(|texts| !texts.is_empty())
            }
            "matches" => inner(utils.get(value.as_str()?)?),
            _ => None,
        })
        .reduce(better)
}

/// The one that fewer files pass: that whose shortest text is longer.
fn better(one: Vec<String>, other: Vec<String>) -> Vec<String> {
    let shortest = |texts: &[String]| texts.iter().map(String::len).min();
    if shortest(&other) > shortest(&one) { other } else { one }
}

fn of_pattern(value: &Value, language: SupportLang) -> Option<String> {
    // Only in these is every named leaf compared by its text.
    if value.get("strictness").is_some_and(|strictness| !matches!(strictness.as_str(), Some("cst" | "smart" | "ast"))) {
        return None;
    }
    let pattern = read_pattern(value, language).ok()?;
    let mut longest = String::new();
    let mut rest = vec![&pattern.node];
    while let Some(node) = rest.pop() {
        match node {
            PatternNode::MetaVar { .. } => {}
            PatternNode::Terminal { text, is_named, kind_id } => {
                let comment = language
                    .get_ts_language()
                    .node_kind_for_id(*kind_id)
                    .is_none_or(|kind| kind.contains("comment") || kind == "ERROR");
                if *is_named && !comment && text.len() > longest.len() {
                    text.clone_into(&mut longest);
                }
            }
            PatternNode::Internal { children, .. } => rest.extend(children),
        }
    }
    (!longest.is_empty()).then_some(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(language: SupportLang, rule: &str, utils: &str) -> Option<Vec<String>> {
        let read = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
        needed(&read(rule), read(utils).as_object().unwrap(), language, 20)
    }

    fn python(rule: &str) -> Option<Vec<String>> {
        texts(SupportLang::Python, rule, "{u: {pattern: used($A)}, v: {matches: v}}")
    }

    fn some(texts: &[&str]) -> Option<Vec<String>> {
        Some(texts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_longest_name_of_a_pattern_has_to_be_there() {
        assert_eq!(python("pattern: f($A)"), some(&["f"]));
        assert_eq!(python("pattern: $A.connect(host, $$$B)"), some(&["connect"]));
        assert_eq!(python("pattern: $A + $B"), None);
        assert_eq!(python("pattern: 'f(\"a long text\")'"), some(&["a long text"]));
        assert_eq!(python("pattern: {context: 'x = f(1000)', selector: call}"), some(&["1000"]));
        assert_eq!(texts(SupportLang::Tsx, "pattern: <Foo a={$B} />", "{}"), some(&["Foo"]));
    }

    #[test]
    fn what_is_not_compared_by_its_text_need_not_be_there() {
        assert_eq!(python("pattern: {context: long_name(1), strictness: signature}"), None);
        assert_eq!(python("pattern: {context: long_name(1), strictness: smart}"), some(&["long_name"]));
        assert_eq!(texts(SupportLang::C, "pattern: 'f(/* a comment */ $A)'", "{}"), some(&["f"]));
        assert_eq!(python("{kind: call, not: {pattern: f}, regex: g}"), None);
    }

    #[test]
    fn of_all_the_best_and_of_any_each() {
        assert_eq!(python("{all: [{pattern: f}, {pattern: gg}, {kind: call}]}"), some(&["gg"]));
        assert_eq!(python("{any: [{pattern: f}, {pattern: gg}]}"), some(&["f", "gg"]));
        assert_eq!(python("{any: [{pattern: f}, {kind: call}]}"), None);
        assert_eq!(python("{any: [{pattern: f}, {pattern: gg}], inside: {pattern: hh, stopBy: end}}"), some(&["hh"]));
        assert_eq!(python("{pattern: $A, has: {matches: u, stopBy: {kind: block}}}"), some(&["used"]));
        assert_eq!(python("matches: v"), None, "a circle says nothing, and ends");
    }
}
