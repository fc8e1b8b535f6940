//! What a run may read, write, reach and execute: plain data, decided by the operator, never by the workspace.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
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
    /// An empty network namespace in which the command's gateway listens ([`crate::Command::gateway`]).
    Proxied,
    /// The host's network: the explicit opposite.
    Host,
}

/// Which system calls a run is answered: a column of the list in `filters/`. Each allows all that the one before allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Pure code in one process: threads, files and pipes, but nothing executed, no child, no socket except a connected
    /// pair, no System V or POSIX IPC, no splicing.
    Strict,
    /// Programs may start programs, share memory and open INET sockets in their own network namespace.
    #[default]
    Default,
    /// As `Default`, and ICMP echo: what a run gets that can reach somebody. Chosen by [`Policy::network`] in place of `Default`.
    Networked,
}

/// What is closed beyond the profile: what the names of an import policy stand for. `Strict` closes both by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Closed {
    /// After the program itself nothing is executed: every `execve` answers EPERM.
    pub exec: bool,
    /// No INET socket: `socket` answers EAFNOSUPPORT.
    pub inet: bool,
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
    /// What is closed beyond that.
    pub closed: Closed,
    /// Which isolation tier the run has. In tier B the program works in the copy of a workspace, at the copy's path.
    pub tier: Tier,
    /// Controls the caller gives up by name where the host cannot enforce them. Of use for [`crate::Control::Landlock`] and
    /// for controls whose verification fails; without a namespace or the filter a run is refused in any case.
    pub allow_degraded: BTreeSet<Control>,
}

impl Policy {
    /// Refuses what contradicts itself: an allow-list of hosts for a program that can make no socket to reach them by.
    ///
    /// # Errors
    /// [`Error::Policy`], which names both sides.
    pub fn validate(&self) -> Result<()> {
        if self.network != Network::Proxied || !self.closes_inet() {
            return Ok(());
        }
        let closes = match self.profile {
            Profile::Strict => "profile strict closes",
            _ => "closed.inet (an import policy that blocks sockets) closes",
        };
        Err(Error::Policy(format!(
            "the network is proxied, so that named hosts can be reached, and {closes} every socket to reach them by: choose one"
        )))
    }
    /// The profile whose filter a run gets: [`Profile::Networked`] in place of the default where there is a network.
    pub fn effective_profile(&self) -> Profile {
        match self.profile {
            Profile::Default if self.network != Network::None => Profile::Networked,
            chosen => chosen,
        }
    }
    /// Whether exec is refused after the program itself has started.
    pub fn closes_exec(&self) -> bool {
        self.closed.exec || self.profile == Profile::Strict
    }
    /// Whether INET sockets are refused.
    pub fn closes_inet(&self) -> bool {
        self.closed.inet || self.profile == Profile::Strict
    }
}
