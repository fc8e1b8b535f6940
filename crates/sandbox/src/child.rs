//! The handle to a started run: [`Child`] waits for its end, [`Killer`] ends it from another thread.
//!
//! Both end the nest init and nothing else: the kernel ends everything in its pid namespace with it.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Signal;

use crate::command::Command;
use crate::error::{Error, Result};
use crate::launch::Sandbox;
use crate::output::Output;
use crate::supervise::{Supervised, supervise};

/// A started run. Dropping it ends the run.
pub struct Child {
    supervised: Option<Supervised>,
    killer: Killer,
    /// What starts the run again without namespaces, where it is not known yet whether this host lets us have them.
    otherwise: Option<(Sandbox, Command)>,
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child").field("killer", &self.killer).finish_non_exhaustive()
    }
}

impl Child {
    pub(crate) fn new(supervised: Supervised, otherwise: Option<(Sandbox, Command)>) -> Self {
        Self { killer: supervised.killer.clone(), supervised: Some(supervised), otherwise }
    }
    /// Waits for the end of the whole tree. The wall limit counts from the start, and is kept while waiting.
    ///
    /// # Errors
    /// Whatever keeps the program from starting inside; see [`Error`].
    pub fn wait(mut self) -> Result<Output> {
        let Some(supervised) = self.supervised.take() else {
            return Err(Error::Spawner("this run was waited for already".into()));
        };
        let output = supervise(supervised);
        match (self.otherwise.take(), output) {
            (Some((sandbox, command)), Err(error)) if error.refuses_namespaces() => {
                // Nothing of the caller's was executed, and none of its input read.
                supervise(sandbox.instead(&command, &error, &self.killer)?)
            }
            (Some((sandbox, _)), Ok(output)) => {
                sandbox.namespaces_hold();
                Ok(output)
            }
            (_, output) => output,
        }
    }
    /// A handle that can end the run from another thread.
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A forked copy of the handle ends nothing.
        if self.supervised.as_ref().is_some_and(|supervised| supervised.client.is_ours()) {
            self.killer.kill();
        }
    }
}

/// Ends a run from another thread; the run then reports [`crate::ExitReason::Cancelled`].
#[derive(Debug, Clone)]
pub struct Killer {
    state: Arc<Mutex<KillState>>,
}

#[derive(Debug)]
struct KillState {
    pidfd: OwnedFd,
    /// What ends the whole tree: SIGKILL for a nest init, SIGTERM for a guard.
    signal: Signal,
    cancelled: bool,
}

impl Killer {
    /// For the run whose nest init this is.
    pub(crate) fn new(pidfd: OwnedFd, signal: Signal) -> Self {
        Self { state: Arc::new(Mutex::new(KillState { pidfd, signal, cancelled: false })) }
    }
    /// Ends the whole tree at once. Harmless when it has ended.
    pub fn kill(&self) {
        self.state().cancelled = true;
        self.end_tree();
    }
    /// Kills the nest init: the kernel ends everything in its pid namespace with it. A guard is told to end its tree.
    pub(crate) fn end_tree(&self) {
        let state = self.state();
        let _ = rustix::process::pidfd_send_signal(&state.pidfd, state.signal);
    }
    /// Ends from now on the run that takes this one's place; at once, when it was to end already.
    pub(crate) fn take_over(&self, pidfd: OwnedFd, signal: Signal) {
        let mut state = self.state();
        (state.pidfd, state.signal) = (pidfd, signal);
        let cancelled = state.cancelled;
        drop(state);
        if cancelled {
            self.end_tree();
        }
    }
    /// Waits until the nest init, and so the whole tree, has ended; false when it has not.
    pub(crate) fn wait(&self, most: std::time::Duration) -> bool {
        let Ok(pidfd) = self.state().pidfd.try_clone() else { return false };
        let mut ended = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        let most = rustix::event::Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() };
        matches!(rustix::io::retry_on_intr(|| rustix::event::poll(&mut ended, Some(&most))), Ok(1..))
    }
    pub(crate) fn cancelled(&self) -> bool {
        self.state().cancelled
    }
    fn state(&self) -> std::sync::MutexGuard<'_, KillState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
