//! What a tool of another crate may do with the open attempt: see its files as a developer sees them, and run a line of
//! the shell over it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentic_sandbox::Output;

use super::code::{not_started, wait};
use super::host;
use super::place::Place;
use super::walk::{Filter, Stop, walk};
use super::{ToolContext, ToolResult};
use crate::cause::Cause;
use crate::runtime::Runtimes;
use crate::workspace::{Dir, FileKind};

/// The files of an open workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenFiles {
    /// Regular files, relative to the workspace, folder by folder in order of name.
    pub paths: Vec<PathBuf>,
    /// Folders that could not be read.
    pub unreadable: u64,
}

impl ToolContext<'_> {
    /// The regular files of the workspace with what the attempt wrote: without what `.gitignore` and `.ignore` files name,
    /// without `.git`, and with names that begin with a dot only where `hidden` is set. Links are not followed.
    ///
    /// # Errors
    /// The result to answer with: the workspace cannot be read, the call was cancelled or its time is over.
    pub fn files(&self, hidden: bool) -> Result<OpenFiles, ToolResult> {
        let stop = Stop::new(self);
        let mut files = OpenFiles::default();
        let mut ended = None;
        let (dir, rel) = self.look()?;
        let place = Place { dir: &dir, rel, shown: ".".into() };
        files.unreadable = walk(&place, Filter { hidden, gitignore: true }, &mut |path, kind| {
            ended = stop.reason("Listing files");
            if ended.is_some() {
                return ControlFlow::Break(());
            }
            if kind == FileKind::File {
                files.paths.push(path.to_owned());
            }
            ControlFlow::Continue(())
        })?;
        ended.map_or(Ok(files), Err)
    }

    /// The workspace with what the attempt wrote, and the path in it that is the workspace's: see [`Attempt::look`](crate::Attempt::look).
    ///
    /// # Errors
    /// The result to answer with when it cannot be opened.
    pub fn look(&self) -> Result<(Dir, PathBuf), ToolResult> {
        let workspace = &self.config.workspace;
        let failed = |why: &dyn std::fmt::Display| {
            ToolResult::failure(Cause::Internal, format!("failed to open {}: {why}", workspace.display()))
        };
        let found = self.attempt.look(workspace).map_err(|error| failed(&error))?;
        found.ok_or_else(|| failed(&"it is no folder of this call"))
    }

    /// Runs a line of the shell in the host view over the open attempt, in `dir` (a folder of the workspace), for at most
    /// `wall`: as the tool `shell` does, under the same policy and ended by the same request. How it ended is in the
    /// output; processes that it leaves running end with it.
    ///
    /// # Errors
    /// The result to answer with when it could not be started.
    pub fn shell(&self, line: &str, dir: &Path, wall: Duration, runtimes: &Runtimes) -> Result<Output, ToolResult> {
        let (command, notes) = host::command(line, dir, wall, runtimes, self).map_err(|refused| *refused)?;
        let output = command.spawn(self.sandbox).and_then(|child| wait(child, self));
        let mut output = output.map_err(|error| not_started(&error))?;
        output.enforced.extend(notes);
        Ok(output)
    }
}
