//! What was found: the only place that reads the home folder, the environment and the machine.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use agentic_executor::config::Host;
use etcetera::BaseStrategy;

use crate::error::{Failure, Result};

/// The user's surroundings, read once.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Home folder, environment, memory: what the library is told.
    pub(crate) host: Host,
    /// The folder of the user's settings: `$XDG_CONFIG_HOME/agentic`.
    pub(crate) config_dir: Option<PathBuf>,
    /// The default state folder: `$XDG_STATE_HOME/agentic`.
    pub(crate) state_dir: Option<PathBuf>,
    /// The folder to work in, every symbolic link resolved.
    pub(crate) workspace: PathBuf,
}

impl Surroundings {
    /// Looks around, after entering `directory` as `-C` asks.
    pub(crate) fn find(directory: Option<&Path>) -> Result<Self> {
        let workspace = enter(directory)?;
        let base = etcetera::base_strategy::Xdg::new().ok();
        let home = base.as_ref().map(|base| base.home_dir().to_owned()).filter(|home| home.is_absolute());
        Ok(Self {
            host: Host { home, env: std::env::vars_os().collect(), memory: memory() },
            config_dir: base.as_ref().map(|base| base.config_dir().join("agentic")),
            state_dir: base.as_ref().and_then(BaseStrategy::state_dir).map(|dir| dir.join("agentic")),
            workspace,
        })
    }
    /// An environment variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.host.env.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }
    /// The environment variables of ours that mean nothing.
    pub(crate) fn strangers(&self, known: &[&str]) -> Vec<String> {
        let names: BTreeMap<&str, ()> = known.iter().map(|name| (*name, ())).collect();
        self.host
            .env
            .keys()
            .filter_map(|name| name.to_str())
            .filter(|name| name.starts_with("AGENTIC_") && !names.contains_key(name))
            .map(str::to_owned)
            .collect()
    }
}

/// Goes to the folder that is to be worked in, so that every relative path means the same as after `cd`.
fn enter(directory: Option<&Path>) -> Result<PathBuf> {
    let Some(directory) = directory else {
        return std::env::current_dir().and_then(|dir| dir.canonicalize()).map_err(|error| {
            Failure::bad_input(format!("failed to find the current folder: {error}"))
                .hint("name the folder to work in with -C DIR")
        });
    };
    let refuse = |why: String| {
        Failure::bad_input(format!("failed to work in {}: {why}", directory.display()))
            .hint("-C takes a folder that exists")
    };
    let metadata = std::fs::metadata(directory).map_err(|error| {
        refuse(if error.kind() == std::io::ErrorKind::NotFound {
            "it does not exist".into()
        } else {
            error.to_string()
        })
    })?;
    if !metadata.is_dir() {
        return Err(refuse("it is not a folder".into()));
    }
    std::env::set_current_dir(directory).map_err(|error| refuse(error.to_string()))?;
    directory_now().map_err(|error| refuse(error.to_string()))
}

fn directory_now() -> std::io::Result<PathBuf> {
    std::env::current_dir()?.canonicalize()
}

/// Bytes of memory of this machine.
fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    // The field types differ between architectures, so both casts are needed on some of them.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "u32 on 32-bit systems")]
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
}
