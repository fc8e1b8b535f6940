//! What is done about a failure: the recovery table, and replanning for a plan that is run by hand.
//!
//! The table is data: cause and tool give an ordered list of strategies, each bounded. The executor applies
//! them; `docs/reference/recovery.md` is generated from it. A cause that a second try cannot change has no
//! strategy that merely tries again.

use serde_json::{Map, Value, json};

use super::plan::PlanStep;
use super::references;
use crate::cause::Cause;

mod causes;
mod commands;
mod replan;

pub(crate) use causes::missing_command;
pub use causes::{cause_of, missing_module};
pub use commands::alternative_command;

use commands::ALTERNATIVES;

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StrategyKind {
    /// Wait as the step's retry policy says, then call again.
    WaitAndRetry,
    /// Look for a file of that name; call again with the one that was found.
    SearchFileAndRetry,
    /// Call again with more time.
    RaiseTimeout,
    /// Call again with more memory.
    RaiseMemory,
    /// Install the module that was missing, if network and approval allow; call again.
    InstallMissingModule,
    /// Call again with another command that does the same.
    UseAlternativeCommand,
    /// Drop the layer; call again on a copy of the workspace.
    RetryOnCopy,
    /// Drop the layer; call again over the workspace as it is now.
    RetryConflict,
    /// Nothing helps: the step has failed, with its cause.
    GiveUp,
}

impl StrategyKind {
    /// The word in the journal and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaitAndRetry => "wait_and_retry",
            Self::SearchFileAndRetry => "search_file_and_retry",
            Self::RaiseTimeout => "raise_timeout",
            Self::RaiseMemory => "raise_memory",
            Self::InstallMissingModule => "install_missing_module",
            Self::UseAlternativeCommand => "use_alternative_command",
            Self::RetryOnCopy => "retry_on_copy",
            Self::RetryConflict => "retry_conflict",
            Self::GiveUp => "give_up",
        }
    }
}

/// How often a strategy may be taken for one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// As often as the step's retry policy says.
    Policy,
    /// At most so often, whatever the policy says: the call is not the same one again.
    Times(u32),
    /// At most so often, and never more often than the policy says.
    PolicyUpTo(u32),
}

impl Bound {
    /// The most times for a step whose policy allows `retries`.
    pub fn most(self, retries: u32) -> u32 {
        match self {
            Self::Policy => retries,
            Self::Times(times) => times,
            Self::PolicyUpTo(times) => times.min(retries),
        }
    }
}

/// One way to answer a failure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strategy {
    /// What is done.
    pub kind: StrategyKind,
    /// How often for one step.
    pub bound: Bound,
    /// For the two that raise a limit: each time by this factor.
    pub factor: u32,
    /// For [`StrategyKind::RaiseTimeout`]: never beyond so many seconds. Memory goes to half the machine's.
    pub ceiling: u64,
    /// What is said about it.
    pub says: &'static str,
}

const fn strategy(kind: StrategyKind, bound: Bound, says: &'static str) -> Strategy {
    Strategy { kind, bound, factor: 1, ceiling: 0, says }
}

const GIVE_UP: Strategy = strategy(StrategyKind::GiveUp, Bound::Times(1), "nothing is known that would help");
const WAIT: Strategy = strategy(StrategyKind::WaitAndRetry, Bound::Policy, "waits, then tries again");
const ONCE_MORE: Strategy = strategy(
    StrategyKind::WaitAndRetry,
    Bound::Times(1),
    "runs once more: what passes then is flaky, and is said to be",
);
const WAIT_ONCE: Strategy =
    strategy(StrategyKind::WaitAndRetry, Bound::PolicyUpTo(1), "waits for space, then tries once more");
const SEARCH: Strategy = strategy(
    StrategyKind::SearchFileAndRetry,
    Bound::Times(1),
    "looks for a file of that name, and takes it if there is exactly one",
);
const MORE_TIME: Strategy = Strategy {
    factor: 2,
    ceiling: 1800,
    ..strategy(StrategyKind::RaiseTimeout, Bound::Times(2), "tries again with twice the time, up to half an hour")
};
const MORE_MEMORY: Strategy = Strategy {
    factor: 2,
    ..strategy(
        StrategyKind::RaiseMemory,
        Bound::Times(2),
        "tries again with twice the memory, up to half the machine's",
    )
};
const INSTALL: Strategy = strategy(
    StrategyKind::InstallMissingModule,
    Bound::Times(1),
    "installs the module if the network is open to the step and approval allows, then tries again",
);
const ALTERNATIVE: Strategy = strategy(
    StrategyKind::UseAlternativeCommand,
    Bound::Times(2),
    "uses another command that does the same, if one is known",
);
const COPY: Strategy = strategy(
    StrategyKind::RetryOnCopy,
    Bound::Times(1),
    "drops the layer and runs again on a copy, where directories can be renamed",
);
const AGAIN: Strategy =
    strategy(StrategyKind::RetryConflict, Bound::Times(2), "drops the layer and runs again over what others wrote");

const FILE_TOOLS: &[&str] = &["file_read", "edit"];
const PROGRAMS: &[&str] = &["shell", "run_code"];

struct Row {
    causes: &'static [Cause],
    /// Empty: any tool.
    tools: &'static [&'static str],
    strategies: &'static [Strategy],
}

/// The recovery table: the first row that fits a cause and a tool counts.
const TABLE: &[Row] = &[
    Row { causes: &[Cause::NotFound], tools: FILE_TOOLS, strategies: &[SEARCH, GIVE_UP] },
    Row { causes: &[Cause::Timeout], tools: PROGRAMS, strategies: &[MORE_TIME, GIVE_UP] },
    Row { causes: &[Cause::Timeout], tools: &[], strategies: &[WAIT, GIVE_UP] },
    Row { causes: &[Cause::OutOfMemory], tools: PROGRAMS, strategies: &[MORE_MEMORY, GIVE_UP] },
    Row { causes: &[Cause::DiskFull], tools: &[], strategies: &[WAIT_ONCE, GIVE_UP] },
    Row { causes: &[Cause::MissingModule], tools: PROGRAMS, strategies: &[INSTALL, GIVE_UP] },
    Row { causes: &[Cause::MissingCommand], tools: &["shell"], strategies: &[ALTERNATIVE, GIVE_UP] },
    // It ran what failed again, test by test: once more as a whole would hide which one is flaky.
    Row { causes: &[Cause::TestFailure], tools: &["run_tests"], strategies: &[GIVE_UP] },
    Row { causes: &[Cause::TestFailure], tools: &[], strategies: &[ONCE_MORE, GIVE_UP] },
    // What others changed since stays changed.
    Row { causes: &[Cause::Conflict], tools: &["rollback"], strategies: &[GIVE_UP] },
    Row { causes: &[Cause::Conflict], tools: &[], strategies: &[AGAIN, GIVE_UP] },
    Row { causes: &[Cause::CrossDevice], tools: &[], strategies: &[COPY, GIVE_UP] },
    Row { causes: &[Cause::Crash, Cause::Failed, Cause::Flaky], tools: &[], strategies: &[WAIT, GIVE_UP] },
    Row {
        causes: &[
            Cause::NotFound,
            Cause::PermissionDenied,
            Cause::OutOfMemory,
            Cause::MissingModule,
            Cause::MissingCommand,
            Cause::BlockedImport,
            Cause::NetworkDenied,
            Cause::SyntaxError,
            Cause::EditMismatch,
            Cause::Persistence,
            Cause::InvalidArguments,
            Cause::UnknownTool,
            Cause::Denied,
            Cause::Unenforceable,
            Cause::Cancelled,
            Cause::Internal,
        ],
        tools: &[],
        strategies: &[GIVE_UP],
    },
];

/// What is done about a cause at a tool, in order. It always ends with [`StrategyKind::GiveUp`].
pub fn strategies(cause: Cause, tool: &str) -> &'static [Strategy] {
    let fits = |row: &&Row| row.causes.contains(&cause) && (row.tools.is_empty() || row.tools.contains(&tool));
    TABLE.iter().find(fits).map_or(&[GIVE_UP], |row| row.strategies)
}

/// Whether the table has more to say than giving up.
pub fn has_remedy(cause: Cause, tool: &str) -> bool {
    strategies(cause, tool).iter().any(|strategy| strategy.kind != StrategyKind::GiveUp)
}

/// A step that finds a file by its name: a `search` for the start of a line in files of that name.
pub fn search_for(path: &str) -> PlanStep {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    // A name with a star in it means that star; a pattern such as `*.py` is meant as one.
    let glob = if name.starts_with("*.") { name.to_owned() } else { globset::escape(name) };
    let mut params = Map::new();
    params.insert("pattern".into(), json!("^"));
    params.insert("file_pattern".into(), Value::String(references::escape(&glob)));
    PlanStep::new("search", "search", params, format!("Find {name}"))
}

/// The recovery table as the page `docs/reference/recovery.md`.
pub fn reference() -> String {
    let mut page = String::from(
        "# Recovery\n\n<!-- Generated from crates/executor/src/planner/recovery/mod.rs; a test compares the two. -->\n\n\
         What is done about a step that failed, by the cause of the failure and the tool: each strategy in turn, no more\n\
         often than stated. `retries: 0` switches off what merely tries again. Every recovery is an event in the journal.\n\n\
         | cause | tool | strategies, in order |\n|---|---|---|\n",
    );
    for row in TABLE {
        let list = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let causes = list(row.causes.iter().map(|cause| cause.as_str()).collect());
        let tools = match row.tools {
            // Rows further up that name tools go before this one.
            [] if TABLE.iter().any(|other| {
                !other.tools.is_empty() && other.causes.iter().any(|cause| row.causes.contains(cause))
            }) =>
            {
                "any other".to_owned()
            }
            [] => "any".to_owned(),
            tools => list(tools.to_vec()),
        };
        let strategies: Vec<String> = row
            .strategies
            .iter()
            .map(|strategy| {
                let often = match (strategy.kind, strategy.bound) {
                    (StrategyKind::GiveUp, _) => String::new(),
                    (_, Bound::Policy) => " (as `retries` says)".into(),
                    (_, Bound::Times(1) | Bound::PolicyUpTo(1)) => " (once)".into(),
                    (_, Bound::Times(times) | Bound::PolicyUpTo(times)) => format!(" ({times} times)"),
                };
                format!("`{}`{often}: {}", strategy.kind.as_str(), strategy.says)
            })
            .collect();
        page.push_str(&format!("| {causes} | {tools} | {} |\n", strategies.join("; ")));
    }
    page.push_str("\n## Commands that do the same\n\n| missing | used instead |\n|---|---|\n");
    for (missing, instead) in ALTERNATIVES {
        page.push_str(&format!("| `{missing}` | `{instead}` |\n"));
    }
    page
}
