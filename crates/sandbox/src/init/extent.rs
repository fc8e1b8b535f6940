//! Which processes belong to a run, and how all of them are ended.
//!
//! In a pid namespace the kernel knows. Without one ([`Extent::Descendants`]) the guard is their subreaper: whoever loses
//! his parent becomes the guard's child, however often he forked and whatever session he made. So a guard without a
//! child has no descendant, which is how [`Extent::end`] knows that it is done.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, prlimit};

use super::tree::numbers;
use crate::linux::sys;

/// Rounds of stopping before killing begins all the same.
const STOPPING_MOST: usize = 200;
/// Between two rounds, for what was killed to end.
const ROUND: Duration = Duration::from_micros(300);

/// What belongs to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything in this process's own pid namespace.
    Namespace,
    /// Everything that descends from this process.
    Descendants,
}

impl Extent {
    /// Every process of the run but this one, as far as a look can tell.
    pub(super) fn processes(self) -> Vec<u32> {
        match self {
            Self::Namespace => numbers("/proc").filter(|pid| *pid > 1).collect(),
            Self::Descendants => descendants(),
        }
    }

    /// Ends every process and reaps what is this one's. The wait status of `program`, when it was among them.
    pub(super) fn end(self, program: i32) -> Option<i32> {
        let mut status = None;
        let mut take = |reaped: sys::Reaped| {
            if reaped.pid == program {
                status = Some(reaped.status);
            }
        };
        match self {
            Self::Namespace => {
                // The kernel finds them all, whatever they ignore or call themselves.
                sys::kill_everything();
                while let Some(reaped) = sys::reap_blocking() {
                    take(reaped);
                }
            }
            Self::Descendants => {
                while sys::has_children() {
                    // Stopped first: they go on counting against the process limit, so a fork bomb cannot refill.
                    let mut known = HashSet::new();
                    for _ in 0..STOPPING_MOST {
                        let tree = descendants();
                        let fresh: Vec<u32> = tree.iter().copied().filter(|pid| known.insert(*pid)).collect();
                        if fresh.is_empty() {
                            break;
                        }
                        signal_all(&fresh, &tree, Signal::STOP);
                    }
                    let tree = descendants();
                    signal_all(&tree, &tree, Signal::KILL);
                    std::thread::sleep(ROUND);
                    while let Some(reaped) = sys::reap() {
                        take(reaped);
                    }
                }
            }
        }
        status
    }
}

/// Ends the children of this process that nobody takes care of: those of a guard that was killed.
pub(crate) fn end_strays(known: impl Fn(i32) -> bool) {
    let own = std::process::id();
    loop {
        let strays: Vec<u32> =
            numbers("/proc").filter(|pid| parent(*pid) == Some(own) && !known(pid.cast_signed())).collect();
        if strays.is_empty() {
            return;
        }
        for pid in strays {
            // A child of ours keeps its number until we reap it.
            let Some(pid) = Pid::from_raw(pid.cast_signed()) else { continue };
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            sys::reap_one(pid);
        }
    }
}

fn signal_all(pids: &[u32], tree: &[u32], signal: Signal) {
    let own = std::process::id();
    let members: HashSet<u32> = tree.iter().copied().chain([own]).collect();
    for number in pids {
        let Some(pid) = Pid::from_raw(number.cast_signed()) else { continue };
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        // The number may be somebody else's since the look: then his parent is none of ours. If it changes hands only
        // after this, the descriptor still means the one that ended.
        if parent(*number).is_some_and(|parent| members.contains(&parent)) {
            let none = Rlimit { current: Some(0), maximum: Some(0) };
            let _ = prlimit(Some(pid), Resource::Nproc, none);
            let _ = pidfd_send_signal(&pidfd, signal);
        }
    }
}

fn descendants() -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in numbers("/proc") {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut next) = (Vec::new(), vec![std::process::id()]);
    while let Some(pid) = next.pop() {
        for child in children.remove(&pid).into_iter().flatten() {
            found.push(child);
            next.push(child);
        }
    }
    found
}

/// The parent of a process (proc_pid_stat(5), field 4).
fn parent(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}
