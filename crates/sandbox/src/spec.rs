//! What the nest init is told, and what it answers: the typed messages between the two sides of a run.
//!
//! Paths and arguments travel as raw bytes ([`OsString`]); the encoding is postcard.

use std::ffi::OsString;
use std::net::SocketAddrV4;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::output::{Control, Enforcement, LimitKind};
use crate::policy::{Closed, Profile};

/// Where a mount's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Layer {
    /// A host path, opened by the nest init as the caller's user.
    Path(OsString),
    /// A detached mount that the parent prepared: its place among the descriptors that came along.
    Mount(usize),
    /// A path beneath such a mount.
    Within(usize, OsString),
}

/// One thing to put into the new root, at an absolute path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: OsString,
    pub(crate) what: What,
}

/// What an [`Entry`] puts there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum What {
    /// A symbolic link.
    Symlink(OsString),
    /// A file with these bytes.
    File(Vec<u8>),
    /// An empty folder.
    Folder,
    /// A copy of a small host file, if it can be read.
    Copy(OsString),
    /// A device node of the host.
    Device(OsString),
    /// A folder of the bounded scratch space.
    Scratch { mode: u32 },
    /// A host folder (or file) as a read-only overlay, without the hidden paths (relative to it).
    ReadOnly { from: Layer, hide: Vec<OsString> },
    /// A host path written through; the hidden paths (relative to it) are covered, so that they read as empty.
    ReadWrite { from: Layer, hide: Vec<OsString> },
    /// A host folder whose writes go to the scratch space and are dropped, without the hidden paths.
    Cache { from: Layer, hide: Vec<OsString> },
    /// A workspace: overlay of lowers (topmost first) under an upper, without the hidden paths.
    Overlay { lowers: Vec<Layer>, upper: Layer, work: Layer, hide: Vec<OsString> },
    /// A private copy of a workspace, written directly; the hidden paths are covered.
    Private { from: Layer, hide: Vec<OsString> },
    /// A fresh proc, with files of ours (relative to it) in the place of its own.
    Proc { files: Vec<(OsString, Vec<u8>)> },
    /// A fresh devpts.
    Pts,
}

/// Everything the nest init needs. It holds code and environment, so it never passes through the spawner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) purpose: Purpose,
    pub(crate) enclosure: Enclosure,
    /// Entered as root: become the inside user first, keeping capabilities.
    pub(crate) as_root: bool,
    pub(crate) own_network: bool,
    /// Loopback addresses to listen on; the sockets go up before the program starts.
    pub(crate) listen: Vec<SocketAddrV4>,
    /// Rows and columns of the terminal to give the program instead of pipes.
    pub(crate) terminal: Option<(u16, u16)>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) limits: Limits,
    /// A cgroup counts the processes, and is to answer before RLIMIT_NPROC does, so that the result can tell.
    pub(crate) count_processes: bool,
    /// Watch memory and processes by sampling, because no cgroup holds them.
    pub(crate) watch_memory: bool,
    /// Add up CPU time by sampling, because no cgroup does.
    pub(crate) watch_cpu: bool,
    /// How long after the program's own end to look for what it left behind.
    pub(crate) left_after: Option<Duration>,
    /// The processors to run on, where they are fewer than what the caller has.
    pub(crate) processors: Option<Vec<u32>>,
    pub(crate) program: OsString,
    pub(crate) argv: Vec<OsString>,
    pub(crate) env: Vec<OsString>,
    pub(crate) dir: OsString,
    pub(crate) profile: Profile,
    /// What is closed beyond the profile.
    pub(crate) closed: Closed,
    /// Folders that Landlock lets be written beneath.
    pub(crate) writable: Vec<OsString>,
    /// Controls whose absence the caller accepts.
    pub(crate) allow_degraded: Vec<Control>,
}

/// What keeps a run in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Enclosure {
    /// Namespaces of its own, and a view built in them.
    Namespaces,
    /// Landlock and the filter, under a guard.
    Guard(Guard),
}

/// A run without namespaces.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Guard {
    /// The user that the program becomes, where root gives it one of its own.
    pub(crate) user: Option<u32>,
    /// Files and folders that may be read and executed beneath.
    pub(crate) readable: Vec<OsString>,
    /// Folders on disk whose size is watched.
    pub(crate) layers: Vec<OsString>,
    /// What the view is weaker in than one of mounts.
    pub(crate) view: String,
    /// The guard's own process id.
    #[serde(skip)]
    pub(crate) pid: i32,
}

/// What a nest is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// Run the program.
    Run,
    /// Mount the first entry and send its root up; nothing is executed.
    Mount,
}

/// The kind of a failure to start, which decides the caller's error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum FailureKind {
    Stage,
    ProgramNotFound,
    NotExecutable,
    Unenforceable(Control),
}

/// From the nest init to the parent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Status {
    /// The program did not start.
    Failed { kind: FailureKind, stage: String, errno: i32 },
    /// The overlay's root comes along as a descriptor.
    Mounted,
    /// The listening sockets come along, before the program starts.
    Listening,
    /// The terminal's other end comes along, before the program starts.
    Terminal,
    /// The program runs; what the kernel says is in force.
    Started { enforced: Vec<(Control, State)> },
    /// The tree has ended.
    Exited {
        status: i32,
        verdict: Option<LimitKind>,
        user: Duration,
        system: Duration,
        peak: u64,
        hits: Vec<LimitKind>,
        left: Vec<String>,
    },
    /// The filter refused a call of this kind for the first time, or, before the end, how often it did.
    Refused(Refused),
}

/// A system call that the filter refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) number: u32,
    /// Those arguments that tell one refusal from another; the others are zero.
    pub(crate) args: [u64; 3],
    /// The program that was to be executed, as it lay in memory.
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) count: u64,
}

/// [`Enforcement`] in a shape that the encoding can carry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum State {
    Active,
    Degraded(String),
    Off(String),
}

impl From<State> for Enforcement {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Degraded(why) => Self::Degraded(why),
            State::Off(why) => Self::Off(why),
        }
    }
}

/// From the engine to the spawner. The descriptors that come along: report, control, and a cgroup when said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Clone a nest init; without flags and maps, a guard.
    Nest { flags: u64, uid_map: String, gid_map: String, deny_setgroups: bool, into_cgroup: bool },
    /// Make a user namespace with these maps and send its descriptor (for id-mapped mounts).
    UserNamespace { uid_map: String, gid_map: String },
}

/// From the spawner to the engine, on the run's report socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The nest exists; its pidfd comes along.
    Spawned { pid: i32 },
    /// The namespace's descriptor comes along.
    Namespace,
    /// It could not be done.
    Failed { stage: String, errno: i32 },
    /// The nest has ended and was reaped.
    Reaped { status: i32, user: Duration, system: Duration, peak: u64 },
}
