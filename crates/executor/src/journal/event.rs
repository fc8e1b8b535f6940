//! One line of a run's history. The format is versioned from its first day: fields are added, never changed.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentic_sandbox::{Enforced, Usage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cause::Cause;
use crate::executor::{ExecutionMode, StopReason};
use crate::id::{CallId, RunId, StepId};
use crate::planner::{ExecutionPlan, StepStatus};
use crate::tools::{Idempotency, ToolStatus};
use crate::workspace::ChangeSet;

/// The version this build writes. An older build reads what it can and never rewrites.
pub const EVENT_VERSION: u16 = 1;

/// One line of a run's history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// The version of the format.
    pub version: u16,
    /// The run it belongs to.
    pub run: RunId,
    /// Its place in the run, from 0, without gaps.
    pub sequence: u64,
    /// When it was written.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// Text kept in the event itself, or in the content-addressed store when it is large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputRef {
    /// The text.
    Inline(Value),
    /// BLAKE3 of the bytes in the store, their length, and their first lines.
    Stored {
        /// BLAKE3, hexadecimal.
        hash: String,
        /// Length in bytes.
        size: u64,
        /// The first lines.
        head: String,
        /// Whether the bytes are JSON rather than the text itself.
        #[serde(default)]
        json: bool,
    },
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventBody {
    /// A run began.
    RunStarted {
        /// What was asked for.
        task: String,
        /// How steps are scheduled.
        mode: ExecutionMode,
        /// The folder it works in. Bytes that are not UTF-8 are written as `\\xNN`.
        #[serde(serialize_with = "path_text")]
        workspace: PathBuf,
        /// The plan as it stood.
        plan: ExecutionPlan,
        /// BLAKE3 of the plan's JSON.
        plan_hash: String,
        /// BLAKE3 of each tool's schema, by tool.
        tools: BTreeMap<String, String>,
        /// What its `${{ context.… }}` references see besides what the plan itself brings.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        context: Map<String, Value>,
        /// Whether what its steps write is held back, and applied by one call of `apply` in the end.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        staged: bool,
    },
    /// A run that had ended before its plan did, or was cut off, goes on.
    RunResumed {
        /// How steps are scheduled from here on.
        mode: ExecutionMode,
        /// The plan as it goes on: the one of the beginning, with what was changed on the way.
        plan: ExecutionPlan,
        /// BLAKE3 of each tool's schema, by tool.
        tools: BTreeMap<String, String>,
        /// Steps that had ended, and are to do again.
        again: Vec<StepId>,
        /// Layers of calls without an end that had been applied, and were taken back.
        taken_back: Vec<String>,
        /// Layers of finished calls that the end of the process took before they were applied.
        lost: Vec<String>,
        /// What is not as it was, in words; empty unless it was to go on all the same.
        changed: Vec<String>,
    },
    /// The plan was edited while running: steps expanded, replaced or added.
    PlanChanged {
        /// Why.
        reason: String,
        /// The plan as it stands now.
        plan: ExecutionPlan,
    },
    /// A step became due.
    StepStarted {
        /// The step.
        step: StepId,
        /// Its tool.
        tool: String,
        /// What it is for.
        description: String,
    },
    /// About to call a tool: flushed before the effect.
    CallIntended {
        /// The call.
        call: CallId,
        /// The step it is an attempt at; none for a bare call.
        step: Option<StepId>,
        /// 1 for the first attempt.
        attempt: u32,
        /// The tool.
        tool: String,
        /// Its arguments, references resolved.
        params: Map<String, Value>,
        /// BLAKE3 of the arguments' canonical JSON.
        params_hash: String,
        /// The layer it writes to, when it has one.
        layer: Option<String>,
        /// Whether repeating it is harmless.
        idempotency: Idempotency,
    },
    /// A call was refused before it could have any effect: unknown tool, bad arguments, a rule, a budget.
    CallRefused {
        /// The call.
        call: CallId,
        /// The step.
        step: Option<StepId>,
        /// The tool that was asked for.
        tool: String,
        /// Its arguments.
        params: Map<String, Value>,
        /// Why.
        cause: Cause,
        /// The same in words.
        error: String,
    },
    /// A piece of output as it arrived. Sent to subscribers, never journaled.
    CallOutput {
        /// The call.
        call: CallId,
        /// The step.
        step: Option<StepId>,
        /// The text.
        text: String,
    },
    /// A call came back: flushed after the effect.
    CallFinished {
        /// The call.
        call: CallId,
        /// The step.
        step: Option<StepId>,
        /// How it ended.
        status: ToolStatus,
        /// Why it failed.
        cause: Option<Cause>,
        /// What it said when it failed.
        error: Option<String>,
        /// What it produced.
        output: OutputRef,
        /// Further facts.
        metadata: Map<String, Value>,
        /// How long it took.
        duration: Duration,
        /// What it spent.
        usage: Option<Usage>,
        /// What was enforced.
        enforced: Option<Enforced>,
        /// What was applied to the workspace.
        changes: Option<ChangeSet>,
    },
    /// A failure is being answered.
    RecoveryTaken {
        /// The step.
        step: StepId,
        /// Why it failed.
        cause: Cause,
        /// The strategy's name in the recovery table.
        strategy: String,
        /// What it does here, in words.
        detail: String,
    },
    /// A step had completed, and what it wrote met a conflict when it was applied. Its second `StepFinished` follows.
    LayerNotApplied {
        /// The step; none for a bare call.
        step: Option<StepId>,
        /// The layer, as its `CallIntended` names it.
        layer: String,
        /// The paths that somebody else changed.
        paths: Vec<String>,
        /// The folder that keeps what the step wrote.
        folder: String,
        /// The same in words.
        error: String,
    },
    /// A step reached its end.
    StepFinished {
        /// The step.
        step: StepId,
        /// Where it stands.
        status: StepStatus,
        /// Attempts made.
        attempts: u32,
        /// What went wrong.
        error: Option<String>,
        /// From its start to its end.
        duration: Duration,
    },
    /// A run ended.
    RunFinished {
        /// Why.
        stop_reason: StopReason,
        /// What went wrong.
        error: Option<String>,
        /// From its start to its end.
        duration: Duration,
    },
    /// An event of a later version, as it was found. Never written.
    Unrecognized {
        /// Its kind.
        kind: String,
        /// Its fields.
        body: Value,
    },
}

impl EventBody {
    /// The word under `event` in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::RunResumed { .. } => "run_resumed",
            Self::PlanChanged { .. } => "plan_changed",
            Self::StepStarted { .. } => "step_started",
            Self::CallIntended { .. } => "call_intended",
            Self::CallRefused { .. } => "call_refused",
            Self::CallOutput { .. } => "call_output",
            Self::CallFinished { .. } => "call_finished",
            Self::RecoveryTaken { .. } => "recovery_taken",
            Self::LayerNotApplied { .. } => "layer_not_applied",
            Self::StepFinished { .. } => "step_finished",
            Self::RunFinished { .. } => "run_finished",
            Self::Unrecognized { .. } => "unrecognized",
        }
    }
    /// Whether it is on the disk before the run goes on. The others follow with the next one that is: the start of a run
    /// with the intent of its first call, before which nothing has happened that could be lost.
    pub fn is_durable(&self) -> bool {
        matches!(self, Self::CallIntended { .. } | Self::CallFinished { .. } | Self::RunResumed { .. })
    }
    /// Whether it is handed to the system before the run goes on, without waiting for the disk: the end of a run survives
    /// the process, and after a power loss follows from the outcomes before it.
    pub fn is_written(&self) -> bool {
        self.is_durable() || matches!(self, Self::RunFinished { .. })
    }
    /// Whether it is written to the journal at all.
    pub fn is_journaled(&self) -> bool {
        !matches!(self, Self::CallOutput { .. } | Self::Unrecognized { .. })
    }
}

fn path_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.as_os_str().as_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
        text
    }))
}
