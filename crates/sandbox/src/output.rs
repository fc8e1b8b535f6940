//! What came of a run: why it ended, what it printed, what it spent, what was enforced.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::denial::Denial;
use crate::gateway::Traffic;

/// Why a run ended. Everything here is a result, not an error; what could not start is [`crate::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum ExitReason {
    /// The program ended by itself with this status.
    Exited(i32),
    /// A signal that was not ours ended the program.
    Signalled(i32),
    /// The wall or CPU limit ended the tree (`limits_hit` says which).
    TimedOut,
    /// The memory limit ended the tree.
    MemoryExceeded,
    /// The disk limit ended the tree (only where it is watched instead of enforced).
    DiskExceeded,
    /// The caller ended the tree.
    Cancelled,
}

impl ExitReason {
    /// Exit status 0 and nothing else.
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
    /// The exit code a shell would show: the program's own, 124 timeout, 137 memory or disk, 128+N signal, 130 cancelled.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => 128 + signal,
            Self::TimedOut => 124,
            Self::MemoryExceeded | Self::DiskExceeded => 137,
            Self::Cancelled => 130,
        }
    }
}

/// A limit that a run touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Time on the clock.
    Wall,
    /// CPU time of the tree.
    Cpu,
    /// Memory of the tree.
    Memory,
    /// Processes and threads at once.
    Processes,
    /// Bytes of an output stream.
    Output,
    /// Scratch space.
    Disk,
    /// Size of one file.
    FileSize,
}

/// One captured stream: the head and, when the cap was passed, the tail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// The first bytes.
    pub head: Vec<u8>,
    /// The last bytes, when some between were dropped.
    pub tail: Vec<u8>,
    /// How many bytes the program wrote in all.
    pub total: u64,
    /// The error number with which the receiver of a relayed stream refused bytes (a full disk); what came
    /// after was dropped. None when all was taken, or when the receiver went away (EPIPE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<i32>,
    /// Of a stream that was relayed and not kept: its last 8 KiB, for reading what a program complained of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last: Vec<u8>,
}

impl Captured {
    /// Bytes that were dropped between head and tail.
    pub fn dropped(&self) -> u64 {
        self.total.saturating_sub((self.head.len() + self.tail.len()) as u64)
    }
    /// Whether bytes were dropped.
    pub fn truncated(&self) -> bool {
        self.dropped() > 0
    }
    /// The text, invalid UTF-8 replaced, with a line that says how much was cut where it was cut.
    pub fn text(&self) -> String {
        if !self.truncated() {
            // What was not cut may still be split, in the middle of a character.
            return String::from_utf8_lossy(&[&self.head[..], &self.tail].concat()).into_owned();
        }
        format!("{}\n[{} bytes cut]\n{}", self.head_text(), self.dropped(), self.tail_text())
    }
    /// The first bytes as text, invalid UTF-8 replaced; a character that the cut went through is left out.
    pub fn head_text(&self) -> String {
        let whole = match self.head.utf8_chunks().last() {
            Some(last) if self.truncated() && is_begun(last.invalid()) => self.head.len() - last.invalid().len(),
            _ => self.head.len(),
        };
        String::from_utf8_lossy(&self.head[..whole]).into_owned()
    }
    /// The last bytes as text, in the same way. Empty when nothing was dropped.
    pub fn tail_text(&self) -> String {
        let continues = |byte: &&u8| **byte & 0xC0 == 0x80;
        let cut = if self.truncated() { self.tail.iter().take(3).take_while(continues).count() } else { 0 };
        String::from_utf8_lossy(&self.tail[cut..]).into_owned()
    }
}

/// Whether bytes are the beginning of a character that more bytes could complete.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// What a run spent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Time on the clock, from the request to the end of the tree.
    pub wall: Duration,
    /// User CPU time of the tree.
    pub user: Duration,
    /// System CPU time of the tree.
    pub system: Duration,
    /// Highest memory of the tree in bytes.
    pub peak_memory: u64,
    /// Whether `peak_memory` was counted by the kernel (a cgroup) rather than sampled.
    pub exact: bool,
}

/// A control that a run can be under. The names are those of `agentic doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// A user namespace of its own.
    UserNamespace,
    /// A mount namespace holding nothing but the view.
    MountNamespace,
    /// A pid namespace whose first process is ours.
    PidNamespace,
    /// A network namespace of its own.
    NetworkNamespace,
    /// System V and POSIX IPC of its own.
    IpcNamespace,
    /// A host name of its own.
    UtsNamespace,
    /// A cgroup namespace of its own.
    CgroupNamespace,
    /// Host folders as read-only overlays rather than binds.
    View,
    /// No capability in any set.
    Capabilities,
    /// `no_new_privs`.
    NoNewPrivs,
    /// A Landlock domain.
    Landlock,
    /// The system-call filter.
    Seccomp,
    /// The memory limit.
    Memory,
    /// The process limit.
    Processes,
    /// The CPU-time limit.
    Cpu,
    /// The scratch-space limit.
    Disk,
    /// The confinement of the network proxy, where there is one.
    NetworkProxy,
    /// The import policy of the runtime.
    Imports,
    /// Dotenv files of the workspace hidden.
    Dotenv,
}

/// How far a control holds in a run, as the kernel told the nest init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub enum Enforcement {
    /// In force.
    Active,
    /// Weaker than it should be, for this reason.
    Degraded(String),
    /// Not in force, for this reason.
    Off(String),
}

/// Control by control, what held.
pub type Enforced = BTreeMap<Control, Enforcement>;

/// What came of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Output {
    /// Why it ended.
    pub reason: ExitReason,
    /// Standard output, as far as it was captured.
    pub stdout: Captured,
    /// Standard error, as far as it was captured.
    pub stderr: Captured,
    /// What it spent.
    pub usage: Usage,
    /// Which limits it touched.
    pub limits_hit: Vec<LimitKind>,
    /// What was enforced.
    pub enforced: Enforced,
    /// What it was refused, as far as the kernel told: system calls and limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denials: Vec<Denial>,
    /// What went through the gateway, where there was one.
    #[serde(default)]
    pub network: Option<Traffic>,
    /// The names (`comm` of proc_pid_stat(5)) of processes that it left behind, where [`crate::Command::left_after`] asked:
    /// sorted, 32 at most. They have ended by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(head: &[u8], tail: &[u8], dropped: u64) -> Captured {
        let total = (head.len() + tail.len()) as u64 + dropped;
        Captured { head: head.into(), tail: tail.into(), total, ..Captured::default() }
    }

    #[test]
    fn a_character_at_the_cut_is_left_out_and_no_other() {
        let cut = captured(b"a\xE2\x82", b"\x82\xACz", 3);
        assert_eq!((cut.head_text().as_str(), cut.tail_text().as_str()), ("a", "z"));
        assert_eq!(cut.text(), "a\n[3 bytes cut]\nz");
        let invalid = captured(b"\xFF\xE2\x82\xAC\xFF", b"\xFFz", 1);
        assert_eq!((invalid.head_text().as_str(), invalid.tail_text().as_str()), ("\u{FFFD}€\u{FFFD}", "\u{FFFD}z"));
        let whole = captured(b"a\xE2\x82", b"\xACz", 0);
        assert_eq!(whole.text(), "a€z", "split between head and tail, and not cut");
    }
}
