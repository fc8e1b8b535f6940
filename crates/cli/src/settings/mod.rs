//! What was typed → what was found → what was decided. [`Settings::decide`] merges flags over environment
//! over the workspace's `agentic.toml` (which may only narrow) over the user's `config.toml` over defaults,
//! keeps where each value came from for `agentic doctor`, and makes the [`Config`] that the library is told.
//! The merge and what follows from it stay in one file, so that precedence is read in one place.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agentic_executor::config::{Budgets, Config, SandboxSettings};
use agentic_executor::executor::ExecutionMode;
use agentic_executor::workspace::AllowPersist;
use agentic_proxy::{Field, ProxyGateway, Written};
use agentic_sandbox::{Control, Gateway, Limits, MB, Network, Profile, Spawner, Tier, View};

pub(crate) mod approval;
mod file;
mod surroundings;
pub(crate) mod table;

pub(crate) use surroundings::Surroundings;

use crate::args::{Permissions, TierName};
use crate::error::{Failure, Result};
use approval::{Action, Rule};
use file::File;
use table::{KEYS, Key, Narrow, Value};

/// What flags say about settings.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    values: Vec<(&'static Key, Value, &'static str)>,
    rules: Vec<Rule>,
}

impl Typed {
    /// A flag's text, when it was given.
    pub(crate) fn text(&mut self, name: &str, flag: &'static str, text: Option<&str>) -> Result<&mut Self> {
        if let (Some(key), Some(text)) = (table::find(name), text) {
            let value = key.kind.parse(text).ok_or_else(|| refusal(flag, text, key))?;
            self.values.push((key, value, flag));
        }
        Ok(self)
    }
    /// A value that needs no parsing; an empty list is none.
    pub(crate) fn value(&mut self, name: &str, flag: &'static str, value: Value) -> &mut Self {
        let empty = matches!(&value, Value::List(list) if list.is_empty())
            || matches!(&value, Value::Pairs(pairs) if pairs.is_empty());
        if let (Some(key), false) = (table::find(name), empty) {
            self.values.push((key, value, flag));
        }
        self
    }
    /// What the flags that several commands share say.
    pub(crate) fn permissions(&mut self, given: &Permissions) -> Result<&mut Self> {
        self.text("sandbox.tier", "--tier", given.tier.map(TierName::as_str))?;
        self.allow_persist(&given.allow_persist)?;
        for rule in &given.approve {
            self.rule(rule)?;
        }
        Ok(self)
    }
    /// What `--allow-persist` says: paths of the workspace, or `all`.
    pub(crate) fn allow_persist(&mut self, words: &[String]) -> Result<&mut Self> {
        if words.iter().any(|word| word.trim().is_empty()) {
            return Err(Failure::bad_input("--allow-persist is empty")
                .hint("it takes a path of the workspace, for example .vscode/settings.json, or `all`"));
        }
        Ok(self.value("sandbox.allow_persist", "--allow-persist", Value::List(words.to_vec())))
    }
    /// Paths of the command line, made absolute.
    pub(crate) fn paths(&mut self, name: &str, flag: &'static str, paths: &[PathBuf]) -> Result<&mut Self> {
        let mut list = Vec::new();
        for path in paths {
            let whole = std::path::absolute(path)
                .map_err(|error| Failure::bad_input(format!("{flag} is `{}`: {error}", path.display())))?;
            let text = whole.into_os_string().into_string().map_err(|path| {
                Failure::bad_input(format!("{flag} is `{}`; the path is not UTF-8", path.to_string_lossy()))
            })?;
            list.push(text);
        }
        Ok(self.value(name, flag, Value::List(list)))
    }
    /// An approval rule.
    pub(crate) fn rule(&mut self, text: &str) -> Result<&mut Self> {
        let rule = text.parse().map_err(|why: String| {
            Failure::bad_input(format!("--approve is `{text}`: {why}"))
                .hint("a rule is `allow|ask|deny TOOL [path=GLOB] [command=GLOB]`")
        })?;
        self.rules.push(rule);
        Ok(self)
    }
}

fn refusal(source: &str, text: &str, key: &Key) -> Failure {
    Failure::bad_input(format!("{source} is `{text}`; it must be {}", key.kind.expected()))
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    User(PathBuf, usize),
    Workspace(PathBuf, usize),
    Environment(&'static str),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::User(path, line) | Self::Workspace(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A setting that was decided; `None` stands for the default.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) key: &'static Key,
    pub(crate) value: Option<Value>,
    pub(crate) origin: Origin,
}

/// Everything that was decided.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the library is told.
    pub(crate) config: Config,
    /// How steps are scheduled.
    pub(crate) mode: ExecutionMode,
    /// What `exec` shows its program.
    pub(crate) view: View,
    /// Approval rules, the deciding one last.
    pub(crate) rules: Vec<Rule>,
    /// Each setting with where it came from, in the order of the table.
    pub(crate) decided: Vec<Decided>,
    /// What was ignored, and why.
    pub(crate) warnings: Vec<String>,
}

impl Settings {
    /// Merges what was typed with what is found.
    pub(crate) fn decide(found: Surroundings, typed: Typed) -> Result<Self> {
        let mut merge = Merge { found: &found, values: BTreeMap::new(), warnings: Vec::new() };
        let mut rules = Vec::new();
        let user = match found.variable("AGENTIC_CONFIG") {
            Some(path) => Some(PathBuf::from(path)),
            None => found.config_dir.as_ref().map(|dir| dir.join("config.toml")),
        };
        if let Some(path) = user {
            match File::read(&path)? {
                Some(file) => {
                    for entry in file.entries {
                        merge.set(entry.key, entry.value, Origin::User(path.clone(), entry.line));
                    }
                    rules.extend(file.rules.into_iter().map(|(rule, _)| rule));
                }
                None if found.variable("AGENTIC_CONFIG").is_some() => {
                    return Err(Failure::bad_input(format!(
                        "AGENTIC_CONFIG is `{}`; there is no such file",
                        path.display()
                    )));
                }
                None => {}
            }
        }
        let path = found.workspace.join("agentic.toml");
        if let Some(file) = File::read(&path)? {
            for entry in file.entries {
                merge.narrow(entry.key, entry.value, Origin::Workspace(path.clone(), entry.line));
            }
            // Rules of the workspace can only take away: what it denies stays denied, and what it
            // asks about comes before the operator's rules, which may be stricter.
            let (denies, others): (Vec<_>, Vec<_>) =
                file.rules.into_iter().partition(|(rule, _)| rule.action == Action::Deny);
            let mut asks = Vec::new();
            for (rule, line) in others {
                if rule.action == Action::Allow {
                    merge.warnings.push(format!(
                        "{}:{line}: `allow` rule ignored: a workspace may only ask or deny",
                        path.display()
                    ));
                } else {
                    asks.push(rule);
                }
            }
            rules.splice(0..0, asks);
            rules.extend(denies.into_iter().map(|(rule, _)| rule));
        }
        for key in KEYS {
            let Some(name) = key.variable else { continue };
            let Some(text) = found.variable(name) else { continue };
            let text = text.to_string_lossy();
            let value = key.kind.parse(&text).ok_or_else(|| refusal(name, &text, key))?;
            merge.set(key, value, Origin::Environment(name));
        }
        for (key, value, flag) in typed.values {
            merge.add(key, value, Origin::Flag(flag));
        }
        rules.extend(typed.rules);
        let known: Vec<&str> = KEYS.iter().filter_map(|key| key.variable).chain(["AGENTIC_CONFIG"]).collect();
        for name in found.strangers(&known) {
            merge.warnings.push(format!("the environment variable {name} means nothing here"));
        }
        let Merge { values, warnings, .. } = merge;
        let decided: Vec<Decided> = KEYS
            .iter()
            .map(|key| match values.get(key.name) {
                Some((value, origin)) => Decided { key, value: Some(value.clone()), origin: origin.clone() },
                None => Decided { key, value: None, origin: Origin::Default },
            })
            .collect();
        let chosen = Chosen { values: &values };
        let mode = match chosen.text("mode") {
            Some("parallel") => ExecutionMode::Parallel,
            Some("interactive") => ExecutionMode::Interactive,
            _ => ExecutionMode::Sequential,
        };
        let view = if chosen.text("view") == Some("host") { View::Host } else { View::System };
        let config = chosen.config(found)?;
        Ok(Self { config, mode, view, rules, decided, warnings })
    }
}

struct Merge<'a> {
    found: &'a Surroundings,
    values: BTreeMap<&'static str, (Value, Origin)>,
    warnings: Vec<String>,
}

impl Merge<'_> {
    fn set(&mut self, key: &'static Key, value: Value, origin: Origin) {
        self.values.insert(key.name, (value, origin));
    }
    /// A flag that can be repeated adds to what is there.
    fn add(&mut self, key: &'static Key, value: Value, origin: Origin) {
        let before = self.values.get(key.name).map(|(value, _)| value.clone());
        let value = match (before, value) {
            (Some(Value::List(mut list)), Value::List(more)) => {
                list.extend(more.into_iter().filter(|item| !list.contains(item)).collect::<Vec<_>>());
                Value::List(list)
            }
            (Some(Value::Pairs(mut pairs)), Value::Pairs(more)) => {
                pairs.extend(more);
                Value::Pairs(pairs)
            }
            (_, value) => value,
        };
        self.set(key, value, origin);
    }
    /// A value of the workspace's own file: taken where it narrows, else ignored with a warning.
    fn narrow(&mut self, key: &'static Key, value: Value, origin: Origin) {
        let now = self.values.get(key.name).map(|(value, _)| value.clone());
        let taken = match (key.narrow, &value, now) {
            (Narrow::Less, Value::Number(number), now) => {
                let most = match now {
                    Some(Value::Number(most)) => Some(most),
                    _ => default_number(key.name, self.found.host.memory),
                };
                most.is_none_or(|most| *number <= most).then_some(value.clone())
            }
            (Narrow::To(to), wanted, now) => {
                let same = now.as_ref().is_some_and(|now| now == wanted);
                (same || wanted.to_string() == to).then_some(value.clone())
            }
            (Narrow::More, Value::List(_), _) => {
                self.add(key, value, origin);
                return;
            }
            (Narrow::Within, Value::List(_), None) => Some(value.clone()),
            (Narrow::Within | Narrow::Fewer, Value::List(list), now) => {
                let there = match now {
                    Some(Value::List(there)) => there,
                    _ => Vec::new(),
                };
                list.iter().all(|item| there.contains(item)).then_some(value.clone())
            }
            _ => None,
        };
        match taken {
            Some(value) => self.set(key, value, origin),
            None => self.warnings.push(format!(
                "{origin}: `{}` ignored: a workspace's agentic.toml may only narrow what a run may do",
                key.name
            )),
        }
    }
}

/// The number that stands where nobody set one; `None` stands for no limit.
fn default_number(name: &str, memory: u64) -> Option<f64> {
    let budgets = Budgets::default();
    let (limits, field) = match name.strip_prefix("sandbox.host_limits.") {
        Some(field) => (Limits::for_host_view(memory), field),
        None => (Limits::default(), name.strip_prefix("sandbox.limits.").unwrap_or(name)),
    };
    let megabytes = |bytes: u64| bytes as f64 / MB as f64;
    Some(match field {
        "max_steps" => budgets.steps as f64,
        "max_retries" => budgets.retries.into(),
        "max_identical_calls" => budgets.identical_calls.into(),
        "max_time" => return budgets.time.map(|time| time.as_secs_f64()),
        "parallel" => budgets.parallel as f64,
        "wall" => limits.wall.as_secs_f64(),
        "cpu" => return limits.cpu.map(|cpu| cpu.as_secs_f64()),
        "memory" => megabytes(limits.memory),
        "cpus" => return limits.cpus.map(f64::from),
        "processes" => limits.processes.into(),
        "open_files" => limits.open_files.into(),
        "output" => megabytes(limits.output),
        "disk" => megabytes(limits.disk),
        "inodes" => limits.inodes as f64,
        "file_size" => megabytes(limits.file_size),
        "sandbox.network_bytes" => megabytes(agentic_proxy::Budget::default().bytes),
        _ => return None,
    })
}

struct Chosen<'a> {
    values: &'a BTreeMap<&'static str, (Value, Origin)>,
}

impl Chosen<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).map(|(value, _)| value)
    }
    fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
    fn number(&self, name: &str) -> Option<f64> {
        match self.get(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }
    fn list(&self, name: &str) -> Option<Vec<String>> {
        match self.get(name) {
            Some(Value::List(list)) => Some(list.clone()),
            _ => None,
        }
    }
    fn paths(&self, name: &str, home: Option<&Path>) -> Vec<PathBuf> {
        self.list(name).unwrap_or_default().iter().map(|path| expand(path, home)).collect()
    }

    fn limits(&self, table: &str, base: Limits) -> Result<Option<Limits>> {
        let mut limits = base;
        let mut any = false;
        let mut field = |name: &str| {
            let number = self.number(&format!("{table}.{name}"));
            any |= number.is_some();
            number
        };
        // The table bounds every number, so none of these casts can wrap.
        let bytes = |megabytes: f64| (megabytes * MB as f64).round().max(1.0) as u64;
        limits.wall = field("wall").map_or(limits.wall, Duration::from_secs_f64);
        limits.cpu = field("cpu").map_or(limits.cpu, |seconds| Some(Duration::from_secs_f64(seconds)));
        limits.memory = field("memory").map_or(limits.memory, bytes);
        limits.cpus = field("cpus").map_or(limits.cpus, |count| Some(count as u32));
        limits.processes = field("processes").map_or(limits.processes, |count| count as u32);
        limits.open_files = field("open_files").map_or(limits.open_files, |count| count as u32);
        limits.output = field("output").map_or(limits.output, bytes);
        limits.disk = field("disk").map_or(limits.disk, bytes);
        limits.inodes = field("inodes").map_or(limits.inodes, |count| count as u64);
        limits.file_size = field("file_size").map_or(limits.file_size, bytes);
        limits.validate().map_err(|error| Failure::bad_input(format!("{table}: {error}")))?;
        Ok(any.then_some(limits))
    }

    /// How far the network reaches, and what answers where it reaches some hosts.
    fn network(&self, found: &Surroundings) -> Result<(Network, Option<Arc<dyn Gateway>>)> {
        let host = self.text("sandbox.network") == Some("host");
        let megabytes = self.number("sandbox.network_bytes");
        let written = Written {
            allow_net: self.list("sandbox.allow_net").unwrap_or_default(),
            tls_terminate: self.list("sandbox.tls_terminate").unwrap_or_default(),
            secrets: self.list("sandbox.secrets").unwrap_or_default(),
            trust_ca: self.text("sandbox.trust_ca").map(|path| expand(path, found.host.home.as_deref())),
            bytes: megabytes.map(|megabytes| (megabytes * MB as f64).round().max(1.0) as u64),
        };
        if written.allow_net.is_empty() {
            let flag = |name: &str| matches!(self.values.get(name), Some((_, Origin::Flag(_))));
            let said = match written.without_hosts() {
                // In a settings file they are for whenever hosts are allowed.
                Some(Field::TrustCa) if !flag("sandbox.trust_ca") => None,
                None if flag("sandbox.network_bytes") => Some("--max-net"),
                field => field.map(Field::flag),
            };
            if let Some(flag) = said {
                return Err(Failure::bad_input(format!("{flag} is for hosts that are allowed, and none is"))
                    .hint("--allow-net HOST allows one"));
            }
            return Ok((if host { Network::Host } else { Network::None }, None));
        }
        match self.values.get("sandbox.network") {
            None => {}
            // A workspace may take the network away.
            Some((Value::Text(none), Origin::Workspace(..))) if none == "none" => return Ok((Network::None, None)),
            Some((value, origin)) => {
                return Err(Failure::bad_input(format!(
                    "the network is to be `{value}` ({origin}), and hosts are allowed by name"
                ))
                .hint("--allow-net opens those hosts and nothing else: leave the network setting out"));
            }
        }
        let access = crate::network::access(&written, found)?;
        let gateway =
            ProxyGateway::new(access, Spawner::CurrentExe).map_err(|error| Failure::bad_input(error.to_string()))?;
        Ok((Network::Proxied, Some(gateway)))
    }

    fn config(&self, found: Surroundings) -> Result<Config> {
        let home = found.host.home.clone();
        let home = home.as_deref();
        let state = match self.text("state") {
            Some(path) => expand(path, home),
            None => {
                let fail = |why: String| {
                    Failure::bad_input(format!("failed to find the state folder: {why}"))
                        .hint("set AGENTIC_STATE to a private folder")
                };
                let state = found.state_dir.clone().ok_or_else(|| fail("there is no home folder".into()))?;
                // Debian names a home that is not there for users who shall have none: it is not ours to make.
                if let Some(home) = home.filter(|home| state.starts_with(home) && !home.exists()) {
                    return Err(fail(format!("the home folder {} does not exist", home.display())));
                }
                state
            }
        };
        let allow_degraded = self
            .list("sandbox.allow_degraded")
            .unwrap_or_default()
            .iter()
            .map(|name| control(name))
            .collect::<Result<_>>()?;
        let mut env = BTreeMap::new();
        if let Some(Value::Pairs(pairs)) = self.get("sandbox.env") {
            env.extend(pairs.iter().map(|(name, value)| (name.into(), value.into())));
        }
        let runtimes = ["python", "bash", "javascript"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), expand(self.text(&format!("sandbox.runtimes.{name}"))?, home))))
            .collect();
        let (network, gateway) = self.network(&found)?;
        let budgets = Budgets::default();
        let host_limits = Limits::for_host_view(found.host.memory);
        let config = Config {
            sandbox: SandboxSettings {
                limits: self.limits("sandbox.limits", Limits::default())?,
                firm_limits: false,
                host_limits: self.limits("sandbox.host_limits", host_limits)?,
                tier: match self.text("sandbox.tier") {
                    Some("a") => Tier::A,
                    Some("b") => Tier::B,
                    _ => Tier::Best,
                },
                network,
                gateway,
                profile: if self.text("sandbox.profile") == Some("strict") {
                    Profile::Strict
                } else {
                    Profile::Default
                },
                read_only: self.paths("sandbox.read_only", home),
                read_write: self.paths("sandbox.read_write", home),
                hide: self.paths("sandbox.hide", home),
                env,
                runtimes,
                allowed_imports: self.list("sandbox.allowed_imports"),
                blocked_imports: self.list("sandbox.blocked_imports").unwrap_or_default(),
                allow_degraded,
                dotenv: match self.get("sandbox.dotenv") {
                    Some(Value::Flag(flag)) => Some(*flag),
                    _ => None,
                },
                allow_persist: AllowPersist::from_words(self.list("sandbox.allow_persist").unwrap_or_default()),
            },
            budgets: Budgets {
                steps: self.number("max_steps").map_or(budgets.steps, |count| count as usize),
                time: self.number("max_time").map_or(budgets.time, |seconds| Some(Duration::from_secs_f64(seconds))),
                retries: self.number("max_retries").map_or(budgets.retries, |count| count as u32),
                identical_calls: self
                    .number("max_identical_calls")
                    .map_or(budgets.identical_calls, |count| count as u32),
                parallel: self.number("parallel").map_or(budgets.parallel, |count| count as usize),
            },
            workspace: found.workspace,
            state,
            spawner: Spawner::CurrentExe,
            host: found.host,
        };
        match config.sandbox.sockets_closed() {
            Some(why) if config.sandbox.network == Network::Proxied => Err(Failure::bad_input(format!(
                "hosts are allowed by name (--allow-net), and no socket is left to reach them by: {why}"
            ))
            .hint(if config.sandbox.profile == Profile::Strict {
                "leave the profile `strict` or --allow-net out"
            } else {
                "let the import policy pass what opens sockets (--allow-import socket where only some names are allowed), or leave --allow-net out"
            })),
            _ => Ok(config),
        }
    }
}

/// What is to be said when the workspace is the home folder, or holds it.
pub(crate) fn home_is_open(config: &Config) -> Option<String> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let home = config.host.home.as_deref().map(real)?;
    home.starts_with(real(&config.workspace)).then(|| {
        format!(
            "the workspace {} holds your home folder: what runs here may read and change all that lies in it, \
             keys and passwords too; -C names another folder",
            config.workspace.display()
        )
    })
}

fn expand(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// A control by the name that `agentic doctor` prints.
pub(crate) fn control(name: &str) -> Result<Control> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).map_err(|_| {
        Failure::bad_input(format!("`{name}` is no control of the sandbox"))
            .hint("the names are those that `agentic doctor` prints, for example `landlock` or `memory`")
    })
}
