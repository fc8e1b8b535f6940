//! What ends the program early: what was attempted, on what, why it failed, what to do, and the exit code.

use std::fmt;

use crate::exit_code::ExitCode;

/// Why the program ends without doing what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: ExitCode,
    /// What was attempted, on what, and why it failed.
    pub(crate) message: String,
    /// What to do about it, when we know.
    pub(crate) hint: Option<String>,
    /// The reader of our output went away: nothing to say.
    pub(crate) quiet: bool,
}

/// The result of a subcommand.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with this exit code.
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, quiet: false }
    }
    /// What was typed, or a file that was named, cannot be meant.
    pub(crate) fn bad_input(message: impl Into<String>) -> Self {
        Self::new(ExitCode::BadInput, message)
    }
    /// It was tried and failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Failed, message)
    }
    /// The same with what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
    /// The same as an error of `exec`, whose own failures are not to be taken for the program's.
    #[must_use]
    pub(crate) fn of_exec(mut self) -> Self {
        if !matches!(self.code, ExitCode::NotExecutable | ExitCode::NotFound | ExitCode::Cancelled) {
            self.code = ExitCode::Refused;
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agentic: {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Only writing our own output ends here: a reader that went away is no failure, a full disk is one.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let gone = error.kind() == std::io::ErrorKind::BrokenPipe;
        let code = if gone { ExitCode::Succeeded } else { ExitCode::Failed };
        Self { quiet: gone, ..Self::new(code, format!("failed to write the output: {error}")) }
    }
}

/// A last line that nobody reads any more changes nothing about the outcome that the exit code tells.
pub(crate) fn unless_gone(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
