//! Parent side: prepare a run, hand it to the spawner, and supervise it to its end.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::policy::Source;
use crate::{Command, Error, Output, Result};

/// How the spawner process is found. Never from PATH.
#[derive(Debug, Clone)]
pub enum Spawner {
    /// This very executable, whose `main` calls [`crate::spawner_hook`] first.
    CurrentExe,
    /// An executable that calls [`crate::spawner_hook`] first, by absolute path.
    Path(PathBuf),
    /// The bytes of such an executable, started from a sealed memfd.
    Embedded(&'static [u8]),
}

/// The door to every enclosure: one per process is enough, and clones share it.
#[derive(Debug, Clone)]
pub struct Sandbox {}

impl Sandbox {
    /// Starts the spawner at the first use; cheap until then.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on systems other than Linux.
    pub fn new(_spawner: Spawner) -> Result<Self> {
        Ok(Self {})
    }
    pub(crate) fn spawn(&self, _command: &Command) -> Result<Child> {
        Err(Error::Spawner("not built yet".into()))
    }
    /// Mounts an overlay for the host-side tools and returns a descriptor of its root. The mount
    /// lives as long as the descriptor; nothing inside can be executed.
    ///
    /// # Errors
    /// [`Error::Stage`] where the host refuses the overlay.
    pub fn mount(&self, _source: &Source) -> Result<OwnedFd> {
        Err(Error::Spawner("not built yet".into()))
    }
}

/// A started run.
#[derive(Debug)]
pub struct Child {}

impl Child {
    /// Waits for the end of the whole tree.
    ///
    /// # Errors
    /// Whatever keeps the program from starting inside; see [`Error`].
    pub fn wait(self) -> Result<Output> {
        Err(Error::Spawner("not built yet".into()))
    }
    /// A handle that can end the run from another thread.
    pub fn killer(&self) -> Killer {
        Killer {}
    }
}

/// Ends a run from another thread; the run then reports [`crate::ExitReason::Cancelled`].
#[derive(Debug, Clone)]
pub struct Killer {}

impl Killer {
    /// Ends the whole tree at once. Harmless when it has ended.
    pub fn kill(&self) {}
}
