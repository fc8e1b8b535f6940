//! Reads a settings file: what it sets, line by line, and what is wrong with it. An unknown name is an
//! error, so that a misspelt restriction is never silently absent.

use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::approval::Rule;
use super::table::{self, Kind, Value};
use crate::error::{Failure, Result};

/// One thing that a file sets.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The setting.
    pub(crate) key: &'static table::Key,
    /// What it is set to.
    pub(crate) value: Value,
    /// The line, from 1.
    pub(crate) line: usize,
}

/// What a settings file holds.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// The settings.
    pub(crate) entries: Vec<Entry>,
    /// The approval rules in order, each with its line.
    pub(crate) rules: Vec<(Rule, usize)>,
}

/// Most bytes that a settings file may have.
const MOST: u64 = 1 << 20;

impl File {
    /// Reads `path`; nothing when it is not there.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let refuse =
            |why: String| Failure::bad_input(format!("failed to read the settings in {}: {why}", path.display()));
        // A program may have put a FIFO in its place, which would be waited for.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(refuse(std::io::Error::from(errno).to_string())),
        };
        match file.metadata() {
            Ok(metadata) if !metadata.is_file() => return Err(refuse("it is not a regular file".into())),
            Ok(_) => {}
            Err(error) => return Err(refuse(error.to_string())),
        }
        let mut text = String::new();
        file.take(MOST + 1).read_to_string(&mut text).map_err(|error| refuse(error.to_string()))?;
        if text.len() as u64 > MOST {
            return Err(refuse("it is larger than 1 MB".into()));
        }
        Self::parse(&text).map(Some).map_err(|wrong| {
            let mut failure = Failure::bad_input(format!("{}:{}: {}", path.display(), wrong.line, wrong.message));
            failure.hint = wrong.hint;
            failure
        })
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        let root = DeTable::parse(text).map_err(|error| Wrong {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            message: format!("not TOML: {}", error.message()),
            hint: None,
        })?;
        let mut file = Self::default();
        file.table(text, "", root.get_ref())?;
        file.entries.sort_by_key(|entry| entry.line);
        Ok(file)
    }

    fn table(&mut self, text: &str, prefix: &str, table: &DeTable<'_>) -> Result<(), Wrong> {
        for (name, value) in table.iter() {
            let line = line_of(text, name.span().start);
            let full =
                if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            if let Some(key) = table::find(&full) {
                let value = convert(value.get_ref()).and_then(|value| key.kind.check(value)).ok_or_else(|| Wrong {
                    line,
                    message: format!("`{full}` must be {}", key.kind.expected()),
                    hint: matches!(key.kind, Kind::Path | Kind::Paths)
                        .then(|| "`~/` stands for the home folder".into()),
                })?;
                self.entries.push(Entry { key, value, line });
            } else if full == "approval" {
                self.approval(text, value, line)?;
            } else if let (true, DeValue::Table(inner)) = (table::is_table(&full), value.get_ref()) {
                self.table(text, &full, inner)?;
            } else {
                return Err(Wrong {
                    line,
                    message: format!("unknown setting `{full}`"),
                    hint: table::nearest(&full).map(|near| format!("did you mean `{near}`?")),
                });
            }
        }
        Ok(())
    }

    fn approval(&mut self, text: &str, value: &Spanned<DeValue<'_>>, line: usize) -> Result<(), Wrong> {
        let wrong = |line, message: String| Wrong {
            line,
            message,
            hint: Some("[[approval]] has `action` (allow, ask, deny), `tool`, and maybe `path` and `command`".into()),
        };
        let DeValue::Array(rules) = value.get_ref() else {
            return Err(wrong(line, "`approval` must be an array of tables".into()));
        };
        for entry in rules.iter() {
            let at = line_of(text, entry.span().start);
            let DeValue::Table(fields) = entry.get_ref() else {
                return Err(wrong(at, "an approval rule must be a table".into()));
            };
            let mut rule = Rule::default();
            let mut action = None;
            for (name, value) in fields.iter() {
                let line = line_of(text, name.span().start);
                let DeValue::String(value) = value.get_ref() else {
                    return Err(wrong(line, format!("`approval.{}` must be a text", name.get_ref())));
                };
                let value = value.to_string();
                match name.get_ref().as_ref() {
                    "action" => {
                        action = Some(value.parse().map_err(|why| wrong(line, why))?);
                    }
                    "tool" => rule.tool = value,
                    "path" => rule.path = Some(value),
                    "command" => rule.command = Some(value),
                    other => return Err(wrong(line, format!("unknown setting `approval.{other}`"))),
                }
            }
            rule.action = action.ok_or_else(|| wrong(at, "an approval rule needs an `action`".into()))?;
            self.rules.push((rule, at));
        }
        Ok(())
    }
}

/// What is wrong with a file, and where.
struct Wrong {
    line: usize,
    message: String,
    hint: Option<String>,
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

fn convert(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            Value::Number(i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()? as f64)
        }
        DeValue::Float(number) => Value::Number(number.as_str().replace('_', "").parse().ok()?),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                })
                .collect::<Option<_>>()?,
        ),
        DeValue::Table(fields) => Value::Pairs(
            fields
                .iter()
                .map(|(name, value)| match value.get_ref() {
                    DeValue::String(text) => Some((name.get_ref().to_string(), text.to_string())),
                    _ => None,
                })
                .collect::<Option<_>>()?,
        ),
        DeValue::Datetime(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> (usize, String, Option<String>) {
        let Err(wrong) = File::parse(text) else { panic!("`{text}` was taken") };
        (wrong.line, wrong.message, wrong.hint)
    }

    #[test]
    fn settings_are_read_with_their_lines() {
        let file = File::parse(
            "max_steps = 5\n\n[sandbox]\nnetwork = \"host\"\n[sandbox.limits]\nmemory = 1_024\nwall = 2.5\n",
        )
        .ok()
        .unwrap();
        let seen: Vec<_> =
            file.entries.iter().map(|entry| (entry.key.name, entry.value.to_string(), entry.line)).collect();
        assert_eq!(
            seen,
            [
                ("max_steps", "5".to_owned(), 1),
                ("sandbox.network", "host".to_owned(), 4),
                ("sandbox.limits.memory", "1024".to_owned(), 6),
                ("sandbox.limits.wall", "2.5".to_owned(), 7),
            ]
        );
    }

    #[test]
    fn mistakes_are_refused_at_their_line() {
        assert_eq!(wrong("a = 1\n").1, "unknown setting `a`");
        let (line, message, hint) = wrong("\n[sandbox]\n# note\nnetwrk = \"none\"\n");
        assert_eq!((line, message.as_str()), (4, "unknown setting `sandbox.netwrk`"));
        assert_eq!(hint.as_deref(), Some("did you mean `sandbox.network`?"));
        assert_eq!(wrong("[sandbox.limits]\nmemory = 0\n").0, 2);
        assert_eq!(wrong("max_steps = \"many\"\n").1, "`max_steps` must be a whole number between 1 and 1000000");
        assert!(wrong("max_steps = 1\nparallel = [\n").1.starts_with("not TOML"));
        assert_eq!(wrong("[[approval]]\ntool = \"shell\"\n").1, "an approval rule needs an `action`");
        assert_eq!(wrong("[[approval]]\naction = \"perhaps\"\n").0, 2);
    }
}
