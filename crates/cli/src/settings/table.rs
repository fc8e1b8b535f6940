//! Every setting there is, as data: its name in a settings file, its environment variable, what it may
//! be, its default, and how far a workspace's own `agentic.toml` may move it. `docs/reference/settings.md`
//! is made from this table.

use std::collections::BTreeMap;
use std::fmt;

/// One setting.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name in a settings file, tables joined by dots.
    pub(crate) name: &'static str,
    /// The environment variable that sets it.
    pub(crate) variable: Option<&'static str>,
    /// What it may be.
    pub(crate) kind: Kind,
    /// The default, in words.
    pub(crate) default: &'static str,
    /// How a workspace's `agentic.toml` may narrow it.
    pub(crate) narrow: Narrow,
    /// What it does.
    pub(crate) what: &'static str,
}

/// What a setting may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number in a unit, between two bounds; `whole` numbers only, or fractions too.
    Number { unit: &'static str, least: f64, most: f64, whole: bool },
    /// `true` or `false`.
    Flag,
    /// An absolute path.
    Path,
    /// A list of absolute paths.
    Paths,
    /// A list of names.
    Names,
    /// A table of names and texts.
    Pairs,
}

/// How a workspace's `agentic.toml` may narrow a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Narrow {
    /// Not at all: only the operator sets it.
    No,
    /// To a smaller number.
    Less,
    /// To this value.
    To(&'static str),
    /// By adding entries: each takes something away.
    More,
    /// To entries that are already there: each gives something.
    Fewer,
    /// To a list where there is none yet, else to entries that are already there.
    Within,
}

/// What a setting is set to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(f64),
    Flag(bool),
    List(Vec<String>),
    Pairs(BTreeMap<String, String>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(list) => write!(f, "[{}]", list.join(", ")),
            // Values may be secrets that the user sets for programs: only names are shown.
            Self::Pairs(pairs) => write!(f, "{{{}}}", pairs.keys().cloned().collect::<Vec<_>>().join(", ")),
        }
    }
}

impl Kind {
    /// What is expected, in words.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Number { unit, least, most, whole } => {
                let number = if whole { "a whole number" } else { "a number" };
                let unit = if unit.is_empty() { String::new() } else { format!(" of {unit}") };
                format!("{number}{unit} between {least} and {most}")
            }
            Self::Flag => "true or false".to_owned(),
            Self::Path => "an absolute path".to_owned(),
            Self::Paths => "a list of absolute paths".to_owned(),
            Self::Names => "a list of names".to_owned(),
            Self::Pairs => "a table of names and texts".to_owned(),
        }
    }
    /// A value from text (a flag, an environment variable). Lists are separated by commas, paths by colons.
    pub(crate) fn parse(self, text: &str) -> Option<Value> {
        let value = match self {
            Self::Number { .. } => Value::Number(text.trim().parse().ok()?),
            Self::Flag => Value::Flag(match text {
                "true" | "1" | "yes" => true,
                "false" | "0" | "no" => false,
                _ => return None,
            }),
            Self::Word(_) | Self::Path => Value::Text(text.to_owned()),
            Self::Paths => Value::List(split(text, ':')),
            Self::Names => Value::List(split(text, ',')),
            Self::Pairs => return None,
        };
        self.check(value)
    }
    /// `value` when it is what this setting may be.
    pub(crate) fn check(self, value: Value) -> Option<Value> {
        let fits = match (self, &value) {
            (Self::Word(words), Value::Text(text)) => words.contains(&text.as_str()),
            (Self::Number { least, most, whole, .. }, Value::Number(number)) => {
                (least..=most).contains(number) && (!whole || number.fract() == 0.0)
            }
            (Self::Path, Value::Text(text)) => text.starts_with('/') || text.starts_with("~/"),
            (Self::Paths, Value::List(list)) => list.iter().all(|path| path.starts_with('/') || path.starts_with("~/")),
            (Self::Flag, Value::Flag(_)) | (Self::Names, Value::List(_)) | (Self::Pairs, Value::Pairs(_)) => true,
            _ => false,
        };
        fits.then_some(value)
    }
}

fn split(text: &str, separator: char) -> Vec<String> {
    text.split(separator).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

const fn number(unit: &'static str, least: f64, most: f64) -> Kind {
    Kind::Number { unit, least, most, whole: false }
}
const fn count(least: f64, most: f64) -> Kind {
    Kind::Number { unit: "", least, most, whole: true }
}
/// The most that a limit in MB accepts: 2^50 bytes.
const MOST_MB: f64 = 1_073_741_824.0;
const YEAR: f64 = 31_536_000.0;

const fn key(
    name: &'static str,
    variable: Option<&'static str>,
    kind: Kind,
    default: &'static str,
    narrow: Narrow,
    what: &'static str,
) -> Key {
    Key { name, variable, kind, default, narrow, what }
}

/// Every setting there is.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("state", Some("AGENTIC_STATE"), Kind::Path, "`$XDG_STATE_HOME/agentic`, else `~/.local/state/agentic`", Narrow::No,
        "Where layers, stored outputs and the journal lie: private, outside every workspace."),
    key("mode", Some("AGENTIC_MODE"), Kind::Word(&["sequential", "parallel", "interactive"]), "sequential", Narrow::To("interactive"),
        "How steps are scheduled."),
    key("max_steps", Some("AGENTIC_MAX_STEPS"), count(1.0, 1_000_000.0), "50", Narrow::Less,
        "Steps that a run may start, retries not counted."),
    key("max_time", Some("AGENTIC_MAX_TIME"), number("seconds", 0.001, YEAR), "none", Narrow::Less,
        "Seconds on the clock that a run may take."),
    key("max_retries", Some("AGENTIC_MAX_RETRIES"), count(0.0, 1_000_000.0), "100", Narrow::Less,
        "Retries over a whole run."),
    key("max_identical_calls", None, count(1.0, 1_000_000.0), "10", Narrow::Less,
        "Identical calls (tool and arguments) in one run."),
    key("parallel", Some("AGENTIC_PARALLEL"), count(1.0, 4096.0), "the processors", Narrow::Less,
        "Steps run at once in parallel mode."),
    key("view", Some("AGENTIC_VIEW"), Kind::Word(&["system", "host"]), "system", Narrow::To("system"),
        "Which part of the host `agentic exec` shows its program."),
    key("sandbox.network", Some("AGENTIC_NETWORK"), Kind::Word(&["none", "host"]), "none", Narrow::To("none"),
        "How far the network reaches."),
    key("sandbox.tier", Some("AGENTIC_TIER"), Kind::Word(&["best", "a", "b"]), "best", Narrow::To("a"),
        "Isolation tier of runs: a (namespaces), b (Landlock without namespaces), or a where the host lets us and else b."),
    key("sandbox.profile", Some("AGENTIC_PROFILE"), Kind::Word(&["strict", "default"]), "default", Narrow::To("strict"),
        "Which system calls code is answered: `strict` is one process, no exec, no socket."),
    key("sandbox.allow_net", None, Kind::Names, "[]", Narrow::Fewer,
        "Hosts that may be reached: `HOST[:PORT]`, `*.HOST`, `HOST=ADDRESS`, `HOST=NETWORK/BITS`."),
    key("sandbox.tls_terminate", None, Kind::Names, "[]", Narrow::Fewer,
        "Allowed hosts whose TLS the network proxy opens."),
    key("sandbox.secrets", None, Kind::Names, "[]", Narrow::Fewer,
        "Headers that the network proxy sets: `HEADER=[PREFIX ]env:VARIABLE@HOST[/PATH]`, or `file:PATH`."),
    key("sandbox.trust_ca", None, Kind::Path, "none", Narrow::No,
        "Certificates (PEM) trusted besides the system's where hosts are allowed."),
    key("sandbox.network_bytes", None, number("MB", 0.000_001, MOST_MB), "1024", Narrow::Less,
        "MB that may pass the network proxy in one run, both ways."),
    key("sandbox.read_only", None, Kind::Paths, "[]", Narrow::Fewer,
        "Further host paths, read-only."),
    key("sandbox.read_write", None, Kind::Paths, "[]", Narrow::Fewer,
        "Host paths that are written through: nothing undoes what happens there."),
    key("sandbox.hide", None, Kind::Paths, "[]", Narrow::More,
        "Paths made absent."),
    key("sandbox.env", None, Kind::Pairs, "{}", Narrow::No,
        "Environment variables set inside, over the named list that passes."),
    key("sandbox.runtimes.python", Some("AGENTIC_PYTHON"), Kind::Path, "found on the host", Narrow::No, "The Python interpreter."),
    key("sandbox.runtimes.bash", Some("AGENTIC_BASH"), Kind::Path, "found on the host", Narrow::No, "The Bash interpreter."),
    key("sandbox.runtimes.javascript", Some("AGENTIC_JAVASCRIPT"), Kind::Path, "found on the host", Narrow::No, "The Node.js interpreter."),
    key("sandbox.allowed_imports", None, Kind::Names, "any", Narrow::Within,
        "The only modules that user code may import."),
    key("sandbox.blocked_imports", None, Kind::Names, "[]", Narrow::More,
        "Modules that user code may not import."),
    key("sandbox.allow_degraded", None, Kind::Names, "[]", Narrow::Fewer,
        "Controls given up by name where the host cannot enforce them (names: `agentic doctor`)."),
    key("sandbox.dotenv", None, Kind::Flag, "in the host view only", Narrow::To("false"),
        "Show the workspace's dotenv files."),
    key("sandbox.allow_persist", None, Kind::Names, "[]", Narrow::Fewer,
        "Protected paths of the workspace that steps may change (git hooks, editor and agent settings, …), or `all`."),
    key("sandbox.limits.wall", Some("AGENTIC_TIMEOUT"), number("seconds", 0.001, YEAR), "30", Narrow::Less, "Seconds on the clock, system view."),
    key("sandbox.limits.cpu", None, number("seconds", 0.001, YEAR), "none", Narrow::Less, "Seconds of CPU of the whole tree."),
    key("sandbox.limits.cpus", None, count(1.0, 1_048_576.0), "all, up to half of `processes`", Narrow::Less, "Processors that the whole tree runs on."),
    key("sandbox.limits.memory", Some("AGENTIC_MEMORY"), number("MB", 4.0, MOST_MB), "256", Narrow::Less, "MB of memory of the whole tree."),
    key("sandbox.limits.processes", None, count(1.0, 1_048_576.0), "64", Narrow::Less, "Processes and threads at once."),
    key("sandbox.limits.open_files", None, count(16.0, 1_048_576.0), "1024", Narrow::Less, "Open descriptors per process."),
    key("sandbox.limits.output", None, number("MB", 0.000_001, MOST_MB), "1", Narrow::Less, "MB kept of each captured output stream."),
    key("sandbox.limits.disk", None, number("MB", 1.0, MOST_MB), "128", Narrow::Less, "MB of scratch space."),
    key("sandbox.limits.inodes", None, count(64.0, 4_294_967_296.0), "65536", Narrow::Less, "Files and folders in the scratch space."),
    key("sandbox.limits.file_size", None, number("MB", 0.000_001, MOST_MB), "1024", Narrow::Less, "MB of any one file."),
    key("sandbox.host_limits.wall", None, number("seconds", 0.001, YEAR), "30, or the step's timeout", Narrow::Less, "The same in the host view."),
    key("sandbox.host_limits.cpu", None, number("seconds", 0.001, YEAR), "none", Narrow::Less, "The same in the host view."),
    key("sandbox.host_limits.cpus", None, count(1.0, 1_048_576.0), "all, up to half of `processes`", Narrow::Less, "The same in the host view."),
    key("sandbox.host_limits.memory", Some("AGENTIC_HOST_MEMORY"), number("MB", 4.0, MOST_MB), "half of the machine's, at least 512", Narrow::Less, "The same in the host view."),
    key("sandbox.host_limits.processes", None, count(1.0, 1_048_576.0), "512", Narrow::Less, "The same in the host view."),
    key("sandbox.host_limits.open_files", None, count(16.0, 1_048_576.0), "4096", Narrow::Less, "The same in the host view."),
    key("sandbox.host_limits.output", None, number("MB", 0.000_001, MOST_MB), "1", Narrow::Less, "The same in the host view."),
    key("sandbox.host_limits.disk", None, number("MB", 1.0, MOST_MB), "4096", Narrow::Less, "The same in the host view."),
    key("sandbox.host_limits.inodes", None, count(64.0, 4_294_967_296.0), "1048576", Narrow::Less, "The same in the host view."),
    key("sandbox.host_limits.file_size", None, number("MB", 0.000_001, MOST_MB), "4096", Narrow::Less, "The same in the host view."),
];

/// The setting of that name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether some setting lies beneath the table of that name.
pub(crate) fn is_table(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The setting whose name is nearest to an unknown one, when one is near.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let last = |text: &'static str| text.rsplit('.').next().unwrap_or(text);
    let wanted = name.rsplit('.').next().unwrap_or(name);
    KEYS.iter().find(|key| last(key.name) == wanted).map(|key| key.name).or_else(|| {
        let near = KEYS.iter().min_by_key(|key| distance(key.name, name))?;
        (distance(near.name, name) <= 1 + name.len() / 8).then_some(near.name)
    })
}

/// Levenshtein distance over bytes: names are ASCII.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_variables_are_unique() {
        for (index, key) in KEYS.iter().enumerate() {
            for other in &KEYS[index + 1..] {
                assert_ne!(key.name, other.name);
                assert!(key.variable.is_none() || key.variable != other.variable, "{:?}", key.variable);
            }
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let memory = find("sandbox.limits.memory").unwrap().kind;
        for text in ["0", "-5", "lots", "1e30", "NaN", "inf", ""] {
            assert_eq!(memory.parse(text), None, "{text}");
        }
        assert_eq!(memory.parse("256"), Some(Value::Number(256.0)));
        assert_eq!(find("max_steps").unwrap().kind.parse("1.5"), None);
        assert_eq!(find("state").unwrap().kind.parse("relative"), None);
    }

    #[test]
    fn an_unknown_name_is_told_the_nearest() {
        assert_eq!(nearest("max_step"), Some("max_steps"));
        assert_eq!(nearest("sandbox.memory"), Some("sandbox.limits.memory"));
        assert_eq!(nearest("entirely_different"), None);
    }
}
