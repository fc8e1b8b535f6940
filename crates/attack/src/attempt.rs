//! One attempt, as data. Written so that a line of a group's table reads like a sentence.

use agentic_sandbox::{Closed, ExitReason, LimitKind, Profile};
use serde::Serialize;

use crate::bait::Bait;
use crate::enclosure::{Enclosure, Ran};

/// The kinds of attempts, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// System calls, `/proc`, descriptors, mounts.
    Kernel,
    /// Out of the run's network, and into it.
    Network,
    /// One run and another at the same time.
    CrossRun,
    /// The import policy.
    Python,
    /// What a run may spend.
    Resources,
    /// Getting a verdict that was not earned.
    RewardHacking,
}

impl Group {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Kernel, Self::Network, Self::CrossRun, Self::Python, Self::Resources, Self::RewardHacking];

    /// Its name, as in an attempt's id.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Network => "network",
            Self::CrossRun => "cross-run",
            Self::Python => "python",
            Self::Resources => "resources",
            Self::RewardHacking => "reward-hacking",
        }
    }
}

/// What is attempted.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// Python source, started by `python3 -I -S` with the words of [`crate::program`] before it. It prints one line.
    Python(&'static str),
    /// A shell script. It prints one line.
    Shell(&'static str),
    /// One system call by number; the arguments are Python expressions. Its line is `ok` or the errno's name.
    Call(i64, &'static str),
    /// Two programs at once: the first prints `ready` and stays, the second prints the line.
    Pair(&'static str, &'static str),
    /// Code of ours that starts programs by the scene's enclosure, looks at what came of it, and answers with the line.
    Host(fn(&Scene<'_>) -> Result<String, String>),
}

/// How it is shown that the act succeeds where the barrier is missing.
#[derive(Debug, Clone, Copy)]
pub enum Proof {
    /// Unconfined on this host, as the same user.
    Host,
    /// The same, and only root is answered otherwise by the kernel itself.
    HostAsRoot,
    /// In the same sandbox, without these barriers: names of a weakened spawner, with `+` between them.
    Without(&'static str),
    /// The same, for an ordinary user alone: what root starts has an id of its own that hides it as well.
    WithoutAsUser(&'static str),
    /// In the same sandbox with another setup.
    With(Setup),
    /// Code of ours.
    By(fn(&Scene<'_>) -> Result<String, String>),
    /// It cannot be run here; the test that holds it.
    Elsewhere(&'static str),
}

/// How a run must end, beside what it prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Why it ended.
    pub reason: ExitReason,
    /// Exactly these limits are named.
    pub hits: &'static [LimitKind],
}

/// What an attempt comes to in an enclosure that is built in another way than the one that the corpus was written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// What the attempt itself says.
    Same,
    /// One of these lines, the program ending by itself with status 0 and no limit touched.
    Refused(&'static [&'static str]),
    /// A step before what is attempted is refused: the program ends with status 1 and prints nothing, and the last line
    /// of what it complains of begins like this.
    Stopped(&'static str),
    /// Nothing is promised: the words of SECURITY.md that say so.
    NotPromised(&'static str),
    /// The attempt means nothing there, for this reason.
    Pointless(&'static str),
}

/// One limit other than the usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Milliseconds on the clock.
    Wall(u64),
    /// Milliseconds of CPU time.
    Cpu(u64),
    /// MB of memory.
    Memory(u64),
    /// Processes and threads.
    Processes(u32),
    /// Descriptors of a process.
    OpenFiles(u32),
    /// Bytes kept of each stream.
    Output(u64),
    /// MB of scratch space and layers.
    Disk(u64),
    /// Files in the scratch space.
    Inodes(u64),
    /// Bytes of one file.
    FileSize(u64),
}

/// What an attempt runs in, where it is not the default: no workspace, every limit at its default.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Which system calls are answered.
    pub profile: Profile,
    /// What is closed beyond it.
    pub closed: Closed,
    /// A workspace with a layer, as the working directory (`HOST['workspace']`).
    pub workspace: bool,
    /// The bait's folder, read-only (`HOST['shared']`).
    pub shared: bool,
    /// Its file `hidden`, made absent.
    pub hidden: bool,
    /// The host's network.
    pub host_network: bool,
    /// Modules that the program may not import, or `None` without an import policy.
    pub blocked_imports: Option<&'static [&'static str]>,
    /// The only modules that it may import.
    pub allowed_imports: Option<&'static [&'static str]>,
    /// Limits other than the usual.
    pub limits: &'static [Limit],
    /// How many bytes come on standard input.
    pub stdin: usize,
}

impl Setup {
    /// No workspace, nothing shared, no network, the default profile and limits.
    pub const PLAIN: Self = Self {
        profile: Profile::Default,
        closed: Closed { exec: false, inet: false },
        workspace: false,
        shared: false,
        hidden: false,
        host_network: false,
        blocked_imports: None,
        allowed_imports: None,
        limits: &[],
        stdin: 0,
    };
    /// With a workspace.
    pub const WORKSPACE: Self = Self { workspace: true, ..Self::PLAIN };
    /// With the bait's folder, read-only.
    pub const SHARED: Self = Self { shared: true, ..Self::PLAIN };
    /// Whether there is an import policy.
    pub const fn imports(&self) -> bool {
        self.blocked_imports.is_some() || self.allowed_imports.is_some()
    }
    /// With these limits.
    pub const fn limits(limits: &'static [Limit]) -> Self {
        Self { limits, ..Self::PLAIN }
    }
}

/// One attempt.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// `group/name`, unique.
    pub id: &'static str,
    /// What somebody would gain.
    pub what: &'static str,
    /// What is attempted.
    pub act: Act,
    /// What it runs in.
    pub setup: Setup,
    /// The lines that mean that it was refused, exactly.
    pub refused: &'static [&'static str],
    /// The lines that mean that it got through.
    pub reached: &'static [&'static str],
    /// What a control says on a kernel that lacks what is attempted; it is then skipped.
    pub missing: &'static [&'static str],
    /// How the run must end. `None`: by itself, with status 0 and no limit touched.
    pub end: Option<End>,
    /// Whether the limit may go unnamed, where it is only looked at now and then.
    pub sampled: bool,
    /// What shows that it would get through; at least one.
    pub proofs: &'static [Proof],
    /// A Python program that takes away, outside, what a sender left on the host that was ended before it could do so
    /// itself: a control without a namespace, whose receiver something else refused.
    pub undo: Option<&'static str>,
    /// The architecture that the program is written for, where it is for one.
    pub arch: Option<&'static str>,
}

/// An attempt in Python.
pub(crate) const fn python(
    id: &'static str,
    what: &'static str,
    source: &'static str,
    refused: &'static [&'static str],
    proofs: &'static [Proof],
) -> Attempt {
    Attempt {
        id,
        what,
        act: Act::Python(source),
        setup: Setup::PLAIN,
        refused,
        reached: &["reached"],
        missing: &[],
        end: None,
        sampled: false,
        proofs,
        undo: None,
        arch: None,
    }
}

/// One system call: `reached` are the answers by which the kernel's own code is known to have been entered.
pub(crate) const fn call(
    id: &'static str,
    what: &'static str,
    (number, args): (i64, &'static str),
    refused: &'static [&'static str],
    reached: &'static [&'static str],
    proofs: &'static [Proof],
) -> Attempt {
    Attempt { act: Act::Call(number, args), reached, missing: &["ENOSYS"], ..python(id, what, "", refused, proofs) }
}

/// A shell script.
pub(crate) const fn shell(
    id: &'static str,
    what: &'static str,
    script: &'static str,
    refused: &'static [&'static str],
    proofs: &'static [Proof],
) -> Attempt {
    Attempt { act: Act::Shell(script), ..python(id, what, "", refused, proofs) }
}

/// A sender, which prints `ready` and stays, and a receiver, in two runs at once.
pub(crate) const fn pair(
    id: &'static str,
    what: &'static str,
    (sender, receiver): (&'static str, &'static str),
    refused: &'static [&'static str],
    proofs: &'static [Proof],
) -> Attempt {
    Attempt { act: Act::Pair(sender, receiver), ..python(id, what, "", refused, proofs) }
}

impl Attempt {
    /// In this setup.
    pub const fn within(self, setup: Setup) -> Self {
        Self { setup, ..self }
    }
    /// Ending like this.
    pub const fn ending(self, reason: ExitReason, hits: &'static [LimitKind]) -> Self {
        Self { end: Some(End { reason, hits }), ..self }
    }
    /// Where these lines of a control mean that the kernel lacks what is attempted.
    pub const fn or_missing(self, missing: &'static [&'static str]) -> Self {
        Self { missing, ..self }
    }
    /// Where nothing counts exactly, a limit that was touched shortly before the end may go unnamed.
    pub const fn sampled(self) -> Self {
        Self { sampled: true, ..self }
    }
    /// Taking away on the host, by this Python program, what the sender may leave.
    pub const fn undone_by(self, undo: &'static str) -> Self {
        Self { undo: Some(undo), ..self }
    }
    /// For this architecture alone, as Rust names it.
    pub const fn on(self, arch: &'static str) -> Self {
        Self { arch: Some(arch), ..self }
    }
    /// Its group, by its id.
    pub fn group(&self) -> Option<Group> {
        let name = self.id.split_once('/')?.0;
        Group::ALL.iter().copied().find(|group| group.name() == name)
    }
}

/// What code of ours ([`Act::Host`], [`Proof::By`]) works with.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Runs programs.
    pub enclosure: &'a dyn Enclosure,
    /// What there is to be had on the host.
    pub bait: &'a Bait,
    /// The attempt.
    pub attempt: &'a Attempt,
}

impl std::fmt::Debug for Scene<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scene").field("attempt", &self.attempt.id).finish_non_exhaustive()
    }
}

impl Scene<'_> {
    /// Runs a Python program in the attempt's setup.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn python(&self, source: &'static str) -> Result<Ran, String> {
        self.enclosure.run(Act::Python(source), &self.attempt.setup, self.bait)
    }
}
