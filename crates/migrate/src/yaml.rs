//! The YAML of a rules file, taken apart into rules with the lines of their fields.

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::error::RuleError;

/// The longest rules file.
const MOST_BYTES: usize = 1 << 20;
/// The most rules in one file.
const MOST_RULES: usize = 1000;

const FORM: &str = "a rules file is `rules:` and a list of rules";

/// One entry of `rules`, not yet read.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) line: u64,
    pub(crate) fields: Map<String, Value>,
    /// The lines of the fields, in their order.
    lines: Vec<u64>,
}

impl Entry {
    /// The line of a field, by the first name of its path.
    pub(crate) fn line_of(&self, field: Option<&str>) -> u64 {
        let name = field.and_then(|field| field.split(['.', '[']).next());
        let place = name.and_then(|name| self.fields.keys().position(|key| key == name));
        place.and_then(|place| self.lines.get(place)).copied().unwrap_or(self.line)
    }
}

/// A mapping whose keys keep their lines.
struct Fields {
    map: Map<String, Value>,
    lines: Vec<u64>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a mapping of fields")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<Fields, A::Error> {
                let mut fields = Fields { map: Map::new(), lines: Vec::new() };
                while let Some((key, value)) = entries.next_entry::<Spanned<String>, Value>()? {
                    fields.lines.push(key.referenced.line());
                    fields.map.insert(key.value, value);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[derive(Deserialize)]
struct File {
    rules: Vec<Spanned<Fields>>,
}

/// The rules of a file, unread.
pub(crate) fn entries(text: &str, name: &str) -> Result<Vec<Entry>, RuleError> {
    let refuse = |line: Option<u64>, field: Option<&str>, problem: String, help: &str| RuleError {
        file: name.into(),
        line,
        rule: None,
        field: field.map(Into::into),
        problem: problem.into(),
        help: help.into(),
    };
    if text.len() > MOST_BYTES {
        let problem = format!("the file has {} bytes, and {MOST_BYTES} are the limit", text.len());
        return Err(refuse(None, None, problem, "split it into several files"));
    }
    let mut options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    if let Some(budget) = &mut options.budget {
        budget.max_depth = 64;
    }
    let parse = |error: serde_saphyr::Error| {
        let line = error.location().map(|location| location.line());
        let message = error.without_snippet().to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
        let message =
            if message.starts_with("multiple YAML documents") { "there is more than one document" } else { message };
        let message = match message.strip_prefix("budget breached: ") {
            Some(limit) => format!("the file is nested too deeply, or refers to itself too often ({limit})"),
            None => message.trim_end_matches('.').to_owned(),
        };
        refuse(line, None, message, FORM)
    };
    let top: Value = serde_saphyr::from_str_with_options(text, options.clone()).map_err(parse)?;
    let rules = match &top {
        Value::Null => None,
        Value::Object(fields) => match fields.keys().find(|key| *key != "rules") {
            Some(other) => {
                return Err(refuse(None, Some(other), "unknown field".into(), "beside `rules` there is none"));
            }
            None => fields.get("rules"),
        },
        _ => return Err(refuse(None, None, "the file is no mapping".into(), FORM)),
    };
    let rules = match rules {
        None | Some(Value::Null) => &Vec::new(),
        Some(Value::Array(rules)) => rules,
        Some(_) => return Err(refuse(None, Some("rules"), "it is no list".into(), FORM)),
    };
    if rules.is_empty() {
        return Err(refuse(None, Some("rules"), "there is no rule".into(), "give a list of at least one"));
    }
    if rules.len() > MOST_RULES {
        let problem = format!("there are {} rules, and {MOST_RULES} are the limit", rules.len());
        return Err(refuse(None, Some("rules"), problem, "split them into several files"));
    }
    if let Some(place) = rules.iter().position(|rule| !rule.is_object()) {
        let problem = format!("rule {} is no mapping", place + 1);
        return Err(refuse(
            None,
            Some("rules"),
            problem,
            "write its fields, such as `identifier: {from: OLD, to: NEW}`",
        ));
    }
    // A second time, for the lines. What is large was refused by now.
    let file: File = serde_saphyr::from_str_with_options(text, options).map_err(parse)?;
    let entry = |Spanned { value: Fields { map: fields, lines }, referenced, .. }: Spanned<Fields>| Entry {
        line: referenced.line(),
        fields,
        lines,
    };
    Ok(file.rules.into_iter().map(entry).collect())
}
