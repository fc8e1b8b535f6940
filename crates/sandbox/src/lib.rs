//! Runs one untrusted program in a kernel-enforced enclosure, shaped like [`std::process::Command`].
//!
//! The program is assumed hostile from its first instruction. It gets fresh user, mount, pid, network,
//! IPC, UTS and cgroup namespaces; a view of the host made of read-only overlays; writes that land in a
//! private layer; no capability, `no_new_privs`, Landlock and a system-call allow-list; and limits on
//! everything it can spend, for its whole tree. What could not be enforced is refused or named in the result.
//!
//! A run begins with [`Command`] and [`Sandbox`], and comes back as an [`Output`].
//!
//! Three processes of ours take part. The *engine* is the caller. The *spawner* ([`spawner_hook`]) is a
//! small single-threaded process that clones. The *nest init* is pid 1 of each enclosure: it builds the
//! view, starts the program as pid 2 and reports. Of these only the program runs bytes that are not ours.
//!
//! This crate knows nothing of tools, plans or workspaces beyond the paths it is told.

mod allow_list;
mod capture;
pub mod channel;
mod child;
mod command;
mod denial;
mod error;
mod filters;
mod fork;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gateway;
mod guarded;
mod identity;
mod init;
mod launch;
mod limits;
mod linux;
mod output;
mod policy;
mod probe;
mod spawner;
mod spec;
mod supervise;
mod surroundings;
mod view;
mod weaken;

pub use child::{Child, Killer};
pub use command::{Command, Observer, Stdin, Stream};
pub use denial::{Certainty, Denial, MOST_DENIALS, Refuser};
pub use error::{Error, Result};
pub use gateway::{Gateway, Inside, NetworkDecision, Passage, Traffic};
pub use identity::reserves_users;
pub use launch::{Sandbox, Spawner, WarmUp};
pub use limits::{LimitError, Limits, MB};
pub use linux::confine::confine_proxy;
pub use linux::lease::has_writer;
pub use linux::sys::with_fs_identity;
pub use output::{Captured, Control, Enforced, Enforcement, ExitReason, LimitKind, Output, Usage};
pub use policy::{Closed, Network, Policy, Profile, Source, Tier, View, Workspace};
pub use probe::{HostReport, probe};
pub use spawner::spawner_hook;
#[cfg(feature = "weaken")]
pub use weaken::weakened_spawner;
