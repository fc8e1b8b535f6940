//! `rollback`: takes back what a run of this workspace did.
//!
//! The tool knows the arguments; the journal, the records and the rules belong to the executor, which lends what is needed
//! for the time of a call ([`Undo`]). Where nothing is recorded there is nothing to lend, and the call is refused.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::validate::{self, ArgumentError};
use super::{Access, Resources, Tool, ToolCall, ToolContext, ToolResult, schema};
use crate::cause::Cause;

/// The arguments of `rollback`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackArgs {
    /// The run's id, or enough of its beginning or end. Default: the run that this call is part of.
    pub run: Option<String>,
    /// The step whose end is gone back to; what came after it is taken back. Default: the beginning of the run.
    pub to: Option<String>,
    /// Only these paths and what lies beneath them, relative to the workspace or absolute. Default: all of them.
    pub paths: Option<Vec<String>>,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Overwrite what somebody else changed since. It is kept first.
    #[serde(default)]
    pub force: bool,
}

/// What can take back a run, for the time of one call. The answer is the call's result.
pub trait Undo {
    /// Takes back what is asked for, or says why not.
    fn roll_back(&self, asked: &RollbackArgs) -> ToolResult;
}

/// Takes back what a run did in this workspace, or what this very run did so far: all of it or nothing. Metadata: `run`,
/// `dry_run`, `rollback` (`changes`, `kept`, `changed_since`), and `paths` of a refusal.
#[derive(Debug, Default)]
pub struct RollbackTool;

impl RollbackTool {
    /// The tool.
    pub fn new() -> Self {
        Self
    }
}

impl Tool for RollbackTool {
    fn name(&self) -> &str {
        "rollback"
    }
    fn description(&self) -> &str {
        "Take back what a run did to the workspace's files, or this very run so far: whatever did it, shell commands \
         included. Refuses when somebody else changed a path since, naming it. Can itself be taken back."
    }
    fn schema(&self) -> Value {
        schema::of::<RollbackArgs>()
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        let args: RollbackArgs = match validate::arguments(call, || self.schema()) {
            Ok(args) => args,
            Err(refusal) => return refusal,
        };
        if args.paths.as_ref().is_some_and(Vec::is_empty) {
            let message = "an empty list names nothing; without it all paths are taken back".to_owned();
            return ArgumentError::refused("/paths", "at least one path", message).into();
        }
        match context.undo {
            Some(undo) => undo.roll_back(&args),
            None => ToolResult::failure(Cause::PermissionDenied, "nothing is kept here that could be taken back"),
        }
    }
    /// No layer of its own: what it puts back is one that it makes.
    fn access(&self, _params: &Map<String, Value>) -> Access {
        Access::None
    }
    /// Alone: a layer that another step has open would lie over what goes back.
    fn resources(&self, _params: &Map<String, Value>) -> Resources {
        Resources::Undeclared
    }
}
