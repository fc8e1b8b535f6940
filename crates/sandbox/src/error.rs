//! What kept a run from starting. What a run does once started is [`crate::Output`].

use std::io;
use std::path::PathBuf;

use crate::limits::LimitError;
use crate::output::Control;

/// Why a run did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A limit cannot be meant.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The policy contradicts itself or names what is not there.
    #[error("policy refused: {0}")]
    Policy(String),
    /// The program is not there, inside the view.
    #[error("program not found: {}", .0.display())]
    ProgramNotFound(PathBuf),
    /// The program is there and cannot be executed.
    #[error("cannot execute {}: {source}", .path.display())]
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An argument or environment entry holds a NUL byte.
    #[error("{what} contains a NUL byte")]
    Nul {
        /// Which argument or entry.
        what: String,
    },
    /// This host cannot enforce a control, and the caller did not give it up by name.
    #[error("this host cannot enforce {control:?}: {reason}")]
    Unenforceable {
        /// The control.
        control: Control,
        /// What was tried and what the kernel said.
        reason: String,
    },
    /// A stage of entering the enclosure failed.
    #[error("failed to {stage}: {source}")]
    Stage {
        /// What was being attempted, with the path or number involved.
        stage: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The spawner ended or broke its protocol.
    #[error("the spawner is gone: {0}")]
    Spawner(String),
    /// The sandbox was made by a process of which this one is a forked child.
    #[error("this sandbox belongs to process {owner}, of which this one is a forked child: make a new one here")]
    Forked {
        /// The process that made it.
        owner: u32,
    },
    /// This system is not Linux.
    #[error("no sandbox on this system: {0}")]
    Unsupported(&'static str),
}

/// The result of starting a run.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the host does not let us have namespaces, or nothing in them.
    pub(crate) fn refuses_namespaces(&self) -> bool {
        use Control::{CgroupNamespace, MountNamespace, UserNamespace};
        matches!(self, Self::Unenforceable { control: UserNamespace | MountNamespace | CgroupNamespace, .. })
    }
    pub(crate) fn stage(stage: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Stage { stage: stage.into(), source: source.into() }
    }
}
