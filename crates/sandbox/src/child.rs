//! The handle to a started run: [`Child`] waits for its end, [`Killer`] ends it from another thread.
//!
//! Both end the nest init and nothing else: the kernel ends everything in its pid namespace with it.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::output::Output;
use crate::supervise::{Supervised, supervise};

/// A started run. Dropping it ends the run.
pub struct Child {
    supervised: Option<Supervised>,
    killer: Killer,
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child").field("killer", &self.killer).finish_non_exhaustive()
    }
}

impl Child {
    pub(crate) fn new(supervised: Supervised) -> Self {
        Self { killer: supervised.killer.clone(), supervised: Some(supervised) }
    }
    /// Waits for the end of the whole tree. The wall limit counts from the start, and is kept while waiting.
    ///
    /// # Errors
    /// Whatever keeps the program from starting inside; see [`Error`].
    pub fn wait(mut self) -> Result<Output> {
        match self.supervised.take() {
            Some(supervised) => supervise(supervised),
            None => Err(Error::Spawner("this run was waited for already".into())),
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
    cancelled: bool,
}

impl Killer {
    /// For the run whose nest init this is.
    pub(crate) fn new(pidfd: OwnedFd) -> Self {
        Self { state: Arc::new(Mutex::new(KillState { pidfd, cancelled: false })) }
    }
    /// Ends the whole tree at once. Harmless when it has ended.
    pub fn kill(&self) {
        self.state().cancelled = true;
        self.end_tree();
    }
    /// Kills the nest init: the kernel ends everything in its pid namespace with it.
    pub(crate) fn end_tree(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.state().pidfd, rustix::process::Signal::KILL);
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
