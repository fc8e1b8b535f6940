//! What a front end decided. The library is told; it reads no environment and no home folder itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentic_sandbox::{Control, Gateway, Limits, Network, Profile, Spawner, Tier};

use crate::runtime::{Capability, ImportPolicy};
use crate::workspace::AllowPersist;

/// Facts about the user's surroundings that only a program may look up.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// The caller's environment. Only named variables ever reach a sandbox.
    pub env: BTreeMap<OsString, OsString>,
    /// Bytes of memory of this machine.
    pub memory: u64,
}

/// What steps may do beyond their defaults.
#[derive(Debug, Clone, Default)]
pub struct SandboxSettings {
    /// Limits of the system view (`run_code`, `exec`). `None`: [`Limits::default`].
    pub limits: Option<Limits>,
    /// Whether recovery leaves `limits` as they are, rather than raise one that a run met.
    pub firm_limits: bool,
    /// Limits of the host view (`shell`, tests). `None`: [`Limits::for_host_view`].
    pub host_limits: Option<Limits>,
    /// Which isolation tier runs have.
    pub tier: Tier,
    /// How far the network reaches.
    pub network: Network,
    /// Which system calls code is answered (`run_code`, `exec`). Shell commands are more than one process: always the default.
    pub profile: Profile,
    /// What answers inside when the network is [`Network::Proxied`].
    pub gateway: Option<Arc<dyn Gateway>>,
    /// Further host paths, read-only.
    pub read_only: Vec<PathBuf>,
    /// Host paths written through, outside every layer.
    pub read_write: Vec<PathBuf>,
    /// Paths made absent.
    pub hide: Vec<PathBuf>,
    /// Environment variables set inside, over the named list that passes.
    pub env: BTreeMap<OsString, OsString>,
    /// Interpreters by path, by language (`python`, `bash`, `javascript`).
    pub runtimes: BTreeMap<String, PathBuf>,
    /// The only modules user code may import, when given.
    pub allowed_imports: Option<Vec<String>>,
    /// Modules user code may not import.
    pub blocked_imports: Vec<String>,
    /// Controls given up by name where the host cannot enforce them.
    pub allow_degraded: BTreeSet<Control>,
    /// Show the workspace's dotenv files. `None`: in the host view only.
    pub dotenv: Option<bool>,
    /// Protected paths that steps may change: what runs later outside without anybody asking for it.
    pub allow_persist: AllowPersist,
}

impl SandboxSettings {
    /// What closes sockets to code, in words: with it, hosts that are allowed by name could not be reached. `None` when
    /// nothing does.
    pub fn sockets_closed(&self) -> Option<String> {
        if self.profile == Profile::Strict {
            return Some("the profile `strict` answers no socket".to_owned());
        }
        let imports = ImportPolicy::new(self);
        imports.closes(Capability::Inet).then(|| imports.reason(Capability::Inet))
    }
}

/// What a run may spend in all; each stops the run with its own [`crate::StopReason`].
#[derive(Debug, Clone)]
pub struct Budgets {
    /// Steps started, retries not counted. Default 50.
    pub steps: usize,
    /// Time on the clock. Default none.
    pub time: Option<Duration>,
    /// Retries over the whole run. Default 100.
    pub retries: u32,
    /// Identical calls (tool and arguments) in one run. Default 10.
    pub identical_calls: u32,
    /// Steps run at once in parallel mode. Default: the processors.
    pub parallel: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            steps: 50,
            time: None,
            retries: 100,
            identical_calls: 10,
            parallel: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}

/// Everything an executor is told when it is built.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder that steps act on. Absolute.
    pub workspace: PathBuf,
    /// Where layers, the store and the journal lie: private, outside every workspace.
    pub state: PathBuf,
    /// How the sandbox's spawner is found.
    pub spawner: Spawner,
    /// Facts about the user's surroundings.
    pub host: Host,
    /// What steps may do.
    pub sandbox: SandboxSettings,
    /// What a run may spend.
    pub budgets: Budgets,
}
