//! What a call was told, as the library's configuration.
//!
//! The Python side hands over plain data: the workspace, the surroundings it looked up (home, environment) and what
//! the caller chose. Names are those of Python; a value that cannot be meant is refused by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agentic_executor::ExecutionMode;
use agentic_executor::config::{Budgets, Config, Host, SandboxSettings};
use agentic_executor::executor::{Approval, Rule};
use agentic_executor::sandbox::{Control, Gateway, Limits, MB, Network, Profile, Tier};
use agentic_executor::workspace::{AllowPersist, state_outside};
use agentic_proxy::{Field, ProxyGateway, Written};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::convert::to_value;
use crate::{errors, process};

/// The most MB of `max_net`.
const MOST_NET_MB: f64 = (1u64 << 30) as f64;

/// Everything a call was told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) mode: ExecutionMode,
    pub(crate) approval: Approval,
    /// Record in the journal of the state folder, rather than in memory.
    pub(crate) durable: bool,
}

/// The plain part of the dict.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Form {
    durable: bool,
    mode: ExecutionMode,
    max_steps: Option<usize>,
    budgets: BudgetsForm,
    sandbox: SandboxForm,
    approval: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BudgetsForm {
    time: Option<f64>,
    retries: Option<u32>,
    identical_calls: Option<u32>,
    parallel: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SandboxForm {
    timeout: Option<f64>,
    cpu: Option<f64>,
    memory_mb: Option<u64>,
    cpus: Option<u32>,
    processes: Option<u32>,
    open_files: Option<u32>,
    disk_mb: Option<u64>,
    file_size_mb: Option<u64>,
    output_bytes: Option<u64>,
    network: Network,
    allow_net: Vec<String>,
    secrets: Vec<String>,
    tls_terminate: Vec<String>,
    trust_ca: Option<PathBuf>,
    max_net: Option<f64>,
    profile: Profile,
    read_only: Vec<PathBuf>,
    read_write: Vec<PathBuf>,
    hide: Vec<PathBuf>,
    env: BTreeMap<String, String>,
    runtimes: BTreeMap<String, PathBuf>,
    allowed_imports: Option<Vec<String>>,
    blocked_imports: Vec<String>,
    allow_degraded: BTreeSet<Control>,
    dotenv: Option<bool>,
    allow_persist: Vec<PathBuf>,
}

impl Settings {
    /// Reads the dict. Paths and the environment may hold any bytes; everything else is text. `roots` are further
    /// folders that the tools work in.
    pub(crate) fn read(given: &Bound<'_, PyDict>, roots: &[PathBuf]) -> PyResult<Self> {
        let py = given.py();
        let mut form = Map::new();
        for (key, value) in given {
            let key: String = key.extract()?;
            if !matches!(key.as_str(), "workspace" | "state" | "home" | "environ") {
                form.insert(key.clone(), to_value(&value, &key)?);
            }
        }
        let form: Form = serde_json::from_value(Value::Object(form))
            .map_err(|error| errors::wrong_value(py, format!("settings: {error}")))?;
        let path = |key: &str| -> PyResult<Option<PathBuf>> {
            given.get_item(key)?.filter(|value| !value.is_none()).map(|value| value.extract()).transpose()
        };
        let env: BTreeMap<OsString, OsString> = match given.get_item("environ")? {
            Some(environ) => environ.extract()?,
            None => BTreeMap::new(),
        };
        let workspace = path("workspace")?.ok_or_else(|| errors::wrong_value(py, "workspace is missing".into()))?;
        let workspace = workspace.canonicalize().map_err(|error| {
            errors::wrong_value(py, format!("workspace: {} cannot be used: {error}", workspace.display()))
        })?;
        let home = path("home")?;
        let told = path("state")?;
        let state = state_folder(told.clone(), &env, home.as_deref())
            .ok_or_else(|| errors::state(py, "no state folder: set AGENTIC_STATE or HOME".into()))?;
        // Debian names a home that is not there for users who shall have none: it is not ours to make.
        if let Some(home) = home.as_deref().filter(|home| state.starts_with(home) && !home.exists()) {
            let message =
                format!("no state folder: the home folder {} does not exist; set AGENTIC_STATE", home.display());
            return Err(errors::state(py, message));
        }
        let roots: Vec<PathBuf> =
            std::iter::once(workspace.clone()).chain(roots.iter().map(|root| workspace.join(root))).collect();
        let outside = state_outside(&state, &roots).map_err(|error| errors::state(py, error.to_string()))?;
        if told.is_some() && outside != state {
            let message = format!("state: {} lies in a folder that steps work in; name one outside", state.display());
            return Err(errors::state(py, message));
        }
        let state = outside;
        let mut budgets = Budgets::default();
        let given = &form.budgets;
        budgets.steps = form.max_steps.unwrap_or(budgets.steps);
        budgets.time = given.time.map(|time| seconds(py, "max_time", time)).transpose()?;
        budgets.retries = given.retries.unwrap_or(budgets.retries);
        budgets.identical_calls = given.identical_calls.unwrap_or(budgets.identical_calls);
        budgets.parallel = given.parallel.unwrap_or(budgets.parallel);
        let config = Config {
            workspace,
            state,
            spawner: process::spawner(),
            sandbox: form.sandbox.settings(py, &env)?,
            host: Host { home, env, memory: memory() },
            budgets,
        };
        Ok(Self { config, mode: form.mode, approval: Approval { rules: form.approval }, durable: form.durable })
    }
}

impl SandboxForm {
    /// How far the network reaches, and what answers where it reaches some hosts.
    fn network(
        &self,
        py: Python<'_>,
        env: &BTreeMap<OsString, OsString>,
    ) -> PyResult<(Network, Option<Arc<dyn Gateway>>)> {
        let bytes = match self.max_net {
            Some(mb) if !(mb > 0.0 && mb <= MOST_NET_MB) => {
                return Err(errors::wrong_value(py, format!("max_net must be a number of MB above 0, not {mb}")));
            }
            mb => mb.map(|mb| (mb * MB as f64).round().max(1.0) as u64),
        };
        let written = Written {
            allow_net: self.allow_net.clone(),
            tls_terminate: self.tls_terminate.clone(),
            secrets: self.secrets.clone(),
            trust_ca: self.trust_ca.clone(),
            bytes,
        };
        if written.allow_net.is_empty() {
            return match written.without_hosts().map(Field::name).or(bytes.map(|_| "max_net")) {
                None => Ok((self.network, None)),
                Some(name) => {
                    let why = format!("{name}: is for hosts that are allowed, and allow_net names none");
                    Err(errors::wrong_value(py, why))
                }
            };
        }
        if self.network != Network::None {
            let why = "allow_net: opens these hosts and nothing else: leave network out".to_owned();
            return Err(errors::wrong_value(py, why));
        }
        let access = written.read(env).map_err(|error| errors::wrong_value(py, error.to_string()))?;
        let gateway = ProxyGateway::new(access, process::proxy());
        let gateway = gateway.map_err(|error| errors::wrong_value(py, error.to_string()))?;
        Ok((Network::Proxied, Some(gateway)))
    }

    fn settings(self, py: Python<'_>, env: &BTreeMap<OsString, OsString>) -> PyResult<SandboxSettings> {
        let (network, gateway) = self.network(py, env)?;
        let default = Limits::default();
        let bytes = |name: &str, mb: Option<u64>, default: u64| match mb.map(|mb| mb.checked_mul(MB)) {
            Some(None) => Err(errors::wrong_value(py, format!("{name} is too large"))),
            Some(Some(bytes)) => Ok(bytes),
            None => Ok(default),
        };
        let limits = Limits {
            wall: self.timeout.map_or(Ok(default.wall), |time| seconds(py, "timeout_seconds", time))?,
            cpu: self.cpu.map(|time| seconds(py, "cpu_seconds", time)).transpose()?,
            memory: bytes("max_memory_mb", self.memory_mb, default.memory)?,
            cpus: self.cpus,
            processes: self.processes.unwrap_or(default.processes),
            open_files: self.open_files.unwrap_or(default.open_files),
            output: self.output_bytes.unwrap_or(default.output),
            disk: bytes("max_disk_mb", self.disk_mb, default.disk)?,
            inodes: default.inodes,
            file_size: bytes("max_file_size_mb", self.file_size_mb, default.file_size)?,
        };
        limits.validate().map_err(|error| errors::wrong_value(py, format!("{}: {error}", python_name(error.limit))))?;
        let os = |text: String| OsString::from(text);
        let settings = SandboxSettings {
            limits: Some(limits),
            // What `SandboxConfig` says is a promise to whoever reads the program.
            firm_limits: true,
            host_limits: None,
            tier: Tier::Best,
            network,
            profile: self.profile,
            gateway,
            read_only: self.read_only,
            read_write: self.read_write,
            hide: self.hide,
            env: self.env.into_iter().map(|(name, value)| (os(name), os(value))).collect(),
            runtimes: self.runtimes,
            allowed_imports: self.allowed_imports,
            blocked_imports: self.blocked_imports,
            allow_degraded: self.allow_degraded,
            dotenv: self.dotenv,
            allow_persist: AllowPersist::from_words(self.allow_persist),
        };
        match settings.sockets_closed() {
            Some(why) if settings.network == Network::Proxied => {
                let why = format!(
                    "allow_net: hosts are allowed, and code has no socket left to reach them by: {why}; take what closes sockets away, or allow_net"
                );
                Err(errors::wrong_value(py, why))
            }
            _ => Ok(settings),
        }
    }
}

/// Says what is wrong with the sandbox's part of the settings; `environ` is the caller's environment.
#[pyfunction]
pub(crate) fn check_sandbox(
    py: Python<'_>,
    sandbox: &Bound<'_, PyAny>,
    environ: BTreeMap<OsString, OsString>,
) -> PyResult<()> {
    let form: SandboxForm = serde_json::from_value(to_value(sandbox, "sandbox")?)
        .map_err(|error| errors::wrong_value(py, format!("settings: {error}")))?;
    form.settings(py, &environ).map(drop)
}

/// The field of `SandboxConfig` that a limit comes from.
fn python_name(limit: &str) -> &str {
    match limit {
        "wall" => "timeout_seconds",
        "cpu" => "cpu_seconds",
        "memory" => "max_memory_mb",
        "cpus" => "max_cpus",
        "processes" => "max_processes",
        "open_files" => "max_open_files",
        "output" => "max_output_bytes",
        "disk" => "max_disk_mb",
        "file_size" => "max_file_size_mb",
        other => other,
    }
}

fn seconds(py: Python<'_>, name: &str, number: f64) -> PyResult<Duration> {
    match Duration::try_from_secs_f64(number) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(errors::wrong_value(py, format!("{name} must be a number of seconds above 0, not {number}"))),
    }
}

/// As the command line finds it: what was told, `AGENTIC_STATE`, `$XDG_STATE_HOME/agentic`, `~/.local/state/agentic`.
fn state_folder(told: Option<PathBuf>, env: &BTreeMap<OsString, OsString>, home: Option<&Path>) -> Option<PathBuf> {
    let variable = |name: &str| env.get(&OsString::from(name)).filter(|value| !value.is_empty()).map(PathBuf::from);
    told.or_else(|| variable("AGENTIC_STATE"))
        .or_else(|| Some(variable("XDG_STATE_HOME").filter(|path| path.is_absolute())?.join("agentic")))
        .or_else(|| Some(home?.join(".local/state/agentic")))
        .and_then(|path| std::path::absolute(path).ok())
}

/// Bytes of memory of this machine.
fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    // The field types differ between architectures, so both casts are needed on some of them.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "u32 on 32-bit systems")]
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
}
