//! The calls that the program's filter refuses: answered as the filter would answer by itself, and remembered.
//!
//! The filter asks this process (seccomp_unotify(2)) only where it refuses; what is allowed, and what merely does not
//! exist inside, never comes here. The caller waits for the answer, so it is given at once; a program that does
//! nothing but ask is put off to the next tick, so that it cannot keep this process from watching. No answer depends on
//! what is remembered: when this process ends, the kernel answers ENOSYS and the enclosure ends with it.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Profile;
use crate::channel;
use crate::denial::CACHE_OF_NAMES;
use crate::filters::{Arch, Program};
use crate::linux::seccomp::{self, Asked};
use crate::spec::{Refused, Status};

/// Kinds of refusal that are remembered.
const KINDS_MOST: usize = 32;
/// Calls that are answered at once; after so many, a program waits for the next tick.
const AT_ONCE_MOST: u32 = 1000;
/// Calls answered between two looks at everything else.
const TURN_MOST: usize = 64;
/// Bytes of a path that are read.
const PATH_MOST: usize = 200;

pub(super) struct Refusals<'a> {
    /// Where the filter asks, and the same filter without questions: what that answers is the answer.
    listener: Option<&'a (OwnedFd, Program)>,
    closes_exec: bool,
    at_once: u32,
    kinds: Vec<Refused>,
}

impl<'a> Refusals<'a> {
    pub(super) fn new(listener: Option<&'a (OwnedFd, Program)>, closes_exec: bool) -> Self {
        Self { listener, closes_exec, at_once: AT_ONCE_MOST, kinds: Vec::new() }
    }

    /// What to wait for, unless the program has asked so often that it waits for us.
    pub(super) fn urgent(&self) -> Option<&OwnedFd> {
        self.listener.filter(|_| self.at_once > 0).map(|(listener, _)| listener)
    }

    /// Whether somebody may wait without being waited for.
    pub(super) fn pending(&self) -> bool {
        self.listener.is_some() && self.at_once == 0
    }

    /// Answers the calls that wait, up to a bound.
    pub(super) fn answer(&mut self, control: &OwnedFd) {
        let Some((listener, filter)) = self.listener else { return };
        for _ in 0..TURN_MOST {
            let mut ready = [PollFd::new(listener, PollFlags::IN)];
            let waits = poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
            if !matches!(waits, Ok(1)) || !ready[0].revents().contains(PollFlags::IN) {
                if ready[0].revents().contains(PollFlags::HUP) {
                    // Nobody is left who could ask.
                    self.listener = None;
                }
                return;
            }
            // The caller may have been killed in between: then there is nothing to answer.
            let Ok(asked) = seccomp::asked(listener.as_fd()) else { continue };
            let refusal = filter.refusal(asked.number, asked.arch, asked.args);
            let new = self.remember(&asked);
            seccomp::refuse(listener.as_fd(), &asked, refusal.unwrap_or(libc::EPERM));
            self.at_once = self.at_once.saturating_sub(1);
            if let Some(refused) = new {
                // A parent that ends the run by a limit hears nothing more afterwards, so it is told now.
                let _ = channel::send(control, &Status::Refused(refused), &[]);
            }
        }
    }

    /// Tells the parent how often.
    pub(super) fn tell_counts(&self, control: &OwnedFd) {
        for refused in self.kinds.iter().filter(|refused| refused.count > 1) {
            let _ = channel::send(control, &Status::Refused(refused.clone()), &[]);
        }
    }

    /// Counts a call; the record of a kind that was not there before.
    fn remember(&mut self, asked: &Asked) -> Option<Refused> {
        let full = self.kinds.len() >= KINDS_MOST;
        let kind = kind(asked, self.closes_exec && !full);
        match self
            .kinds
            .iter_mut()
            .find(|known| known.number == kind.number && known.args == kind.args && (full || known.path == kind.path))
        {
            Some(known) => known.count += 1,
            None if full => {}
            None => {
                self.kinds.push(kind.clone());
                return Some(kind);
            }
        }
        None
    }
}

/// What tells one refusal from another: the arguments that the filter looked at, as far as they are of a few values.
fn kind(asked: &Asked, read_path: bool) -> Refused {
    let name =
        Arch::native().and_then(|arch| arch.describe(asked.number, Profile::Default)).map_or("", |(name, _)| name);
    let low = |place: usize| asked.args[place] & 0xFFFF_FFFF;
    let args = match name {
        // Told apart from the program's own sockets: it is nothing to tell.
        "socket" if low(0) == libc::AF_UNIX as u64 && low(1) as u32 == CACHE_OF_NAMES => [low(0), low(1), low(2)],
        "socket" | "socketpair" => [low(0), low(1) & 0xF, low(2)],
        "clone" | "prctl" | "personality" => [low(0), 0, 0],
        "kill" => [u64::from(u32::MAX), 0, 0],
        "ioctl" | "fcntl" => [0, low(1), 0],
        _ => [0; 3],
    };
    let path = match name {
        "execve" if read_path => string(asked.pid, asked.args[0]),
        "execveat" if read_path => string(asked.pid, asked.args[1]),
        _ => None,
    };
    Refused { number: asked.number, args, path, count: 1 }
}

/// A string in the memory of a process that waits for us. It is the program's, and may have been changed since the kernel
/// looked at it: told, never acted on.
fn string(pid: u32, address: u64) -> Option<Vec<u8>> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut bytes = [0; PATH_MOST];
    // Up to the end of a page, which is all that must be there.
    let room = usize::try_from(4096 - address % 4096).ok()?.min(PATH_MOST);
    let read = memory.read_at(&mut bytes[..room], address).ok()?;
    let end = bytes[..read].iter().position(|byte| *byte == 0).unwrap_or(read);
    (end > 0).then(|| bytes[..end].to_vec())
}
