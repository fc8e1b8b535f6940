//! What keeps an executor from being built. What a run does once started is an `ExecutionResult`.

use crate::journal::JournalError;
use crate::workspace::WorkspaceError;

/// What keeps an executor from being built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutorError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state folder cannot be used.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The sandbox cannot be had.
    #[error(transparent)]
    Sandbox(#[from] agentic_sandbox::Error),
    /// Interactive mode without anybody to ask.
    #[error("interactive mode needs someone to ask: give the executor a prompt, or choose another mode")]
    NoPrompt,
    /// Hosts are allowed by name, and code can open no socket to reach them; this closes them.
    #[error("hosts are allowed by name, and no socket is left to reach them by: {0}")]
    SocketsClosed(String),
    /// A budget of nothing.
    #[error("budget `{0}` is 0; it must be at least 1")]
    ZeroBudget(&'static str),
}
