//! What a run may read, write, reach and execute: plain data, decided by the operator, never by the workspace.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::output::Control;

/// Which part of the host a run can see. Neither view shows the home folder, sockets or secrets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// `/usr` and its kin, a minimal `/etc`, the runtime's own prefix, the workspace.
    #[default]
    System,
    /// The system view and the toolchain folders of the user's home, so that builds and tests work.
    Host,
}

/// How far a run may reach over the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// An empty network namespace whose own loopback is up.
    #[default]
    None,
    /// The host's network: the explicit opposite.
    Host,
}

/// Which system calls a run may make: the name of a filter in `filters/`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Programs may start programs and open INET sockets in their own network namespace.
    #[default]
    Default,
    /// As `Default`, but after the program itself nothing is executed: every `execve` answers EPERM.
    NoExec,
    /// As `Default`, but no INET socket: `socket` answers EAFNOSUPPORT.
    NoInet,
    /// Both: what a run with an import policy over `subprocess` and `socket` gets.
    Pure,
}

impl Profile {
    /// The profile that closes exec, INET sockets, both or neither.
    pub fn closing(exec: bool, inet: bool) -> Self {
        match (exec, inet) {
            (false, false) => Self::Default,
            (true, false) => Self::NoExec,
            (false, true) => Self::NoInet,
            (true, true) => Self::Pure,
        }
    }
    /// Whether exec is refused after the program itself has started.
    pub fn closes_exec(self) -> bool {
        matches!(self, Self::NoExec | Self::Pure)
    }
    /// Whether INET sockets are refused.
    pub fn closes_inet(self) -> bool {
        matches!(self, Self::NoInet | Self::Pure)
    }
}

/// Which isolation tier a run is to have. The tiers differ in what they promise: SECURITY.md has the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A where this host lets us, else B; the result's `enforced` says which.
    #[default]
    Best,
    /// Namespaces and all the rest (A, or A' when started as root), or a refusal.
    A,
    /// Landlock, the system-call filter and resource limits, without a namespace: for hosts that refuse them.
    B,
}

/// A folder the run works in, at the same path inside and outside (in tier B: where its copy lies).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Absolute path of the folder, the same inside and outside.
    pub path: PathBuf,
    /// Where its bytes come from and where writes go.
    pub source: Source,
}

/// Where a workspace's bytes come from and where its writes go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An overlay: `lowers` (topmost first, the folder itself last) below, `upper` takes the writes.
    Overlay {
        /// Read-only layers, topmost first; the last one is the folder itself.
        lowers: Vec<PathBuf>,
        /// A private folder that takes every write.
        upper: PathBuf,
        /// The overlay's work folder: empty, and on the same file system as `upper`.
        work: PathBuf,
    },
    /// A private copy of the folder, mounted in its place and written to directly.
    Copy {
        /// The copy.
        dir: PathBuf,
    },
    /// The folder itself, read-only.
    ReadOnly,
}

/// What a run may read, write, reach and execute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Which part of the host is visible.
    pub view: View,
    /// The folders the run works in; none may contain another.
    pub workspaces: Vec<Workspace>,
    /// Further host paths, read-only (`--ro`, runtime prefixes, toolchain folders).
    pub read_only: Vec<PathBuf>,
    /// Host paths written through, outside every layer (`--rw`). Undo does not cover them.
    pub read_write: Vec<PathBuf>,
    /// Tool caches: shown read-only below, written in memory, dropped afterwards.
    pub caches: Vec<PathBuf>,
    /// Paths made absent even where a folder above them is visible (`--hide`).
    pub hide: Vec<PathBuf>,
    /// The home folder inside: an empty private folder at this path. Default `/home/user`.
    pub home: Option<PathBuf>,
    /// How far the network reaches.
    pub network: Network,
    /// Which system calls are answered.
    pub profile: Profile,
    /// Which isolation tier the run has. In tier B the program works in the copy of a workspace, at the copy's path.
    pub tier: Tier,
    /// Controls the caller gives up by name where the host cannot enforce them. Of use for [`crate::Control::Landlock`] and
    /// for controls whose verification fails; without a namespace or the filter a run is refused in any case.
    pub allow_degraded: BTreeSet<Control>,
}
