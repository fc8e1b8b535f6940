//! The exit codes, in one place. They are documented in `docs/reference/cli.md`, which is made from here.

use agentic_executor::{Cause, ExecutionResult, StopReason, ToolResult, ToolStatus};

/// The table that `agentic --help` ends with.
pub(crate) const RUN_AND_EXEC: &str = "Examples:
  agentic run \"read config and run tests\" -c command=\"python -m pytest -q\"
  agentic exec -e 'print(sum(range(10)))'
  agentic doctor

Exit status of `exec`: the program's own; 124 timed out; 125 our own error or refusal; 126 not
executable; 127 not found; 128+N ended by signal N; 137 memory or disk limit.
Exit status of every other command: 0 succeeded; 1 failed; 2 bad input; 3 partly done; 4 denied;
5 limit or budget; 6 the host cannot enforce a control; 7 no tests were run; 130 cancelled.";

/// An exit code other than a sandboxed program's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// All of it was done.
    Succeeded = 0,
    /// It was tried and failed.
    Failed = 1,
    /// What was typed, or a file that was named, cannot be meant.
    BadInput = 2,
    /// Some steps were done.
    Partial = 3,
    /// A rule or a person refused.
    Denied = 4,
    /// A limit or budget ended it.
    Limit = 5,
    /// The host cannot enforce a control.
    Unenforceable = 6,
    /// `test`: no tests were run.
    NoTests = 7,
    /// `exec`: our own error or refusal.
    Refused = 125,
    /// `exec`: the runtime or file cannot be executed.
    NotExecutable = 126,
    /// `exec`: the runtime or file is not there.
    NotFound = 127,
    /// Ended by Ctrl-C or SIGTERM.
    Cancelled = 130,
}

impl From<ExitCode> for i32 {
    fn from(code: ExitCode) -> Self {
        code as Self
    }
}

impl From<StopReason> for ExitCode {
    fn from(reason: StopReason) -> Self {
        match reason {
            StopReason::Succeeded => Self::Succeeded,
            StopReason::Failed => Self::Failed,
            StopReason::Partial => Self::Partial,
            StopReason::Denied => Self::Denied,
            StopReason::Limit => Self::Limit,
            StopReason::Unenforceable => Self::Unenforceable,
            StopReason::Cancelled => Self::Cancelled,
        }
    }
}

impl ExitCode {
    /// What a run ends with: a plan that was refused as a whole is bad input.
    pub(crate) fn of_run(result: &ExecutionResult) -> Self {
        match result.metadata.get("kind").and_then(|kind| kind.as_str()) {
            Some("bad_input") => Self::BadInput,
            _ => result.stop_reason.into(),
        }
    }
    /// What a bare tool call ends with.
    pub(crate) fn of_call(result: &ToolResult) -> Self {
        if result.is_success() {
            return Self::Succeeded;
        }
        match (result.cause, result.status) {
            (Some(Cause::InvalidArguments | Cause::UnknownTool), _) => Self::BadInput,
            (Some(Cause::Unenforceable), _) => Self::Unenforceable,
            (Some(Cause::Cancelled), _) => Self::Cancelled,
            (Some(Cause::OutOfMemory | Cause::DiskFull), _) | (_, ToolStatus::Timeout) => Self::Limit,
            (_, ToolStatus::PermissionDenied) => Self::Denied,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stop_reason_has_its_own_code() {
        let reasons = [
            StopReason::Succeeded,
            StopReason::Failed,
            StopReason::Partial,
            StopReason::Denied,
            StopReason::Limit,
            StopReason::Unenforceable,
            StopReason::Cancelled,
        ];
        let codes: Vec<i32> = reasons.iter().map(|reason| ExitCode::from(*reason).into()).collect();
        assert_eq!(codes, [0, 1, 3, 4, 5, 6, 130]);
    }

    #[test]
    fn a_call_ends_with_the_code_of_its_cause() {
        let code = |cause| ExitCode::of_call(&ToolResult::failure(cause, "no"));
        assert_eq!(ExitCode::of_call(&ToolResult::success("")), ExitCode::Succeeded);
        assert_eq!(code(Cause::UnknownTool), ExitCode::BadInput);
        assert_eq!(code(Cause::InvalidArguments), ExitCode::BadInput);
        assert_eq!(code(Cause::Denied), ExitCode::Denied);
        assert_eq!(code(Cause::Timeout), ExitCode::Limit);
        assert_eq!(code(Cause::OutOfMemory), ExitCode::Limit);
        assert_eq!(code(Cause::Unenforceable), ExitCode::Unenforceable);
        assert_eq!(code(Cause::Failed), ExitCode::Failed);
    }
}
