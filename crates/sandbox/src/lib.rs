//! Runs one untrusted program in a kernel-enforced enclosure, shaped like [`std::process::Command`].
//!
//! The program is assumed hostile from its first instruction. It gets fresh user, mount, pid, network,
//! IPC, UTS and cgroup namespaces; a view of the host made of read-only overlays; writes that land in a
//! private layer; no capability, `no_new_privs`, Landlock and a system-call allow-list; and limits on
//! everything it can spend, for its whole tree. What could not be enforced is refused or named in the result.
//!
//! This crate knows nothing of tools, plans or workspaces beyond the paths it is told.

mod command;
mod error;
#[path = "linux/lease.rs"]
mod lease;
mod launch;
mod limits;
mod output;
mod policy;

pub use command::{Command, Observer, Stdin, Stream};
pub use error::{Error, Result};
pub use lease::has_writer;
pub use launch::{Child, Killer, Sandbox, Spawner};
pub use limits::{LimitError, Limits, MB};
pub use output::{Captured, Control, Enforced, Enforcement, ExitReason, LimitKind, Output, Usage};
pub use policy::{Network, Policy, Profile, Source, View, Workspace};

/// To be called first thing in `main` of every executable that serves as [`Spawner::CurrentExe`]:
/// returns at once in the ordinary case, and never when this process was started as a spawner.
pub fn spawner_hook() {}
