//! What keeps a runtime from being found or a program from being prepared.

use std::io;
use std::path::PathBuf;

use crate::cause::Cause;

/// What keeps a runtime from being found or a program from being prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No such language.
    #[error("unknown language `{0}`: this build runs python, bash and javascript")]
    UnknownLanguage(String),
    /// No interpreter was found.
    #[error(
        "no {language} interpreter found: looked for {names} in {places}; install one, or name it by path with \
         `--runtime PATH` (setting `sandbox.runtimes.{language}`{})",
        if *.language == "python" { ", in Python `python`" } else { "" }
    )]
    Missing {
        /// The language.
        language: &'static str,
        /// The file names looked for.
        names: String,
        /// Where, and why candidates were passed over.
        places: String,
    },
    /// The named interpreter cannot be one.
    #[error("cannot use {} as the {language} interpreter: {reason}", .path.display())]
    NotAnInterpreter {
        /// The path that was named.
        path: PathBuf,
        /// The language.
        language: &'static str,
        /// Why not.
        reason: String,
        /// Whether nothing lies at that path.
        absent: bool,
    },
    /// The request contradicts itself or cannot be passed on.
    #[error("{0}")]
    Request(String),
    /// The file to run lies outside the workspace.
    #[error("{} lies outside the workspace, and only files of the workspace can be run", .0.display())]
    Outside(PathBuf),
    /// A file of ours could not be written or read.
    #[error("failed to {action} {}: {source}", .path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl RuntimeError {
    /// The word that recovery goes by.
    pub fn cause(&self) -> Cause {
        match self {
            Self::UnknownLanguage(_) | Self::Request(_) => Cause::InvalidArguments,
            Self::Missing { .. } | Self::NotAnInterpreter { absent: true, .. } => Cause::MissingCommand,
            Self::NotAnInterpreter { .. } | Self::Outside(_) => Cause::PermissionDenied,
            Self::Io { .. } => Cause::Internal,
        }
    }
    /// The exit status a shell would give: 127 not found, 126 not executable, 125 for what is ours.
    pub fn code(&self) -> i32 {
        match self {
            Self::Missing { .. } | Self::NotAnInterpreter { absent: true, .. } => 127,
            Self::NotAnInterpreter { .. } => 126,
            _ => 125,
        }
    }
}
