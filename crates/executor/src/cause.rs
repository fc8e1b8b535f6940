//! Why a call failed: the word that recovery goes by.

use serde::{Deserialize, Serialize};

/// Why a call failed. Read from typed results first and from messages last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A file or folder is not there.
    NotFound,
    /// A file, folder or action is not allowed.
    PermissionDenied,
    /// The time limit passed.
    Timeout,
    /// The memory limit passed.
    OutOfMemory,
    /// The scratch space, the layer or the disk is full.
    DiskFull,
    /// A module that the program imports is not installed.
    MissingModule,
    /// A command is not installed.
    MissingCommand,
    /// The import policy refused a module.
    BlockedImport,
    /// The network is closed.
    NetworkDenied,
    /// The code does not parse.
    SyntaxError,
    /// Tests ran and some failed.
    TestFailure,
    /// A test failed and passed when run again.
    Flaky,
    /// Somebody else changed what this step changed.
    Conflict,
    /// It would leave behind what runs later outside (a git hook, an editor's tasks) and nobody allowed that.
    Persistence,
    /// The text to replace is not there, or is there more than once.
    EditMismatch,
    /// The arguments do not fit the tool's schema.
    InvalidArguments,
    /// No tool has that name.
    UnknownTool,
    /// A rule or a person refused the call.
    Denied,
    /// The program died of a signal.
    Crash,
    /// A directory rename that overlayfs cannot do (EXDEV): worth another try on a copy.
    CrossDevice,
    /// The host cannot enforce a control.
    Unenforceable,
    /// The run was asked to end.
    Cancelled,
    /// The program ended with a failure status and said nothing that we understand.
    Failed,
    /// A fault of ours.
    Internal,
}

impl Cause {
    /// Whether trying the very same call again can change anything.
    pub fn can_change(self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::OutOfMemory
                | Self::Flaky
                | Self::Conflict
                | Self::Crash
                | Self::Failed
                | Self::TestFailure
                | Self::CrossDevice
                | Self::DiskFull
        )
    }
    /// The word used in JSON and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::PermissionDenied => "permission_denied",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::DiskFull => "disk_full",
            Self::MissingModule => "missing_module",
            Self::MissingCommand => "missing_command",
            Self::BlockedImport => "blocked_import",
            Self::NetworkDenied => "network_denied",
            Self::SyntaxError => "syntax_error",
            Self::TestFailure => "test_failure",
            Self::Flaky => "flaky",
            Self::Conflict => "conflict",
            Self::Persistence => "persistence",
            Self::EditMismatch => "edit_mismatch",
            Self::InvalidArguments => "invalid_arguments",
            Self::UnknownTool => "unknown_tool",
            Self::Denied => "denied",
            Self::Crash => "crash",
            Self::CrossDevice => "cross_device",
            Self::Unenforceable => "unenforceable",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Internal => "internal",
        }
    }
}
