//! What is done about a failure: the recovery table, and replanning for a plan that is run by hand.
//!
//! The table is data: cause and tool give an ordered list of strategies, each bounded. The executor applies
//! them; `docs/reference/recovery.md` is generated from it. A cause that a second try cannot change has no
//! strategy that merely tries again.

use serde_json::{Map, Value, json};

use super::TaskPlanner;
use super::plan::{ExecutionPlan, PlanStep, StepStatus};
use super::references;
use super::rules::quote;
use crate::cause::Cause;

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
    /// At most so often, and never more often than the policy allows.
    Times(u32),
}

impl Bound {
    /// The most times for a step whose policy allows `retries`.
    pub fn most(self, retries: u32) -> u32 {
        match self {
            Self::Policy => retries,
            Self::Times(times) => times.min(retries),
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
    strategy(StrategyKind::WaitAndRetry, Bound::Times(1), "waits for space, then tries once more");
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
    Row { causes: &[Cause::TestFailure], tools: &[], strategies: &[ONCE_MORE, GIVE_UP] },
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

/// Commands that do the same, in the order in which they are tried.
const ALTERNATIVES: &[(&str, &str)] = &[
    ("pytest", "python3 -m pytest"),
    ("py.test", "python3 -m pytest"),
    ("python", "python3"),
    ("python3", "python"),
    ("pip", "python3 -m pip"),
    ("pip3", "python3 -m pip"),
    ("node", "nodejs"),
    ("make", "gmake"),
];

/// The same command line with the program that is missing replaced by another that does the same. `missing` is its
/// name, when the failure says it; otherwise the first program with a known replacement counts.
///
/// ```
/// use agentic_executor::planner::recovery::alternative_command;
/// assert_eq!(alternative_command("cd api && pytest -q", Some("pytest")).unwrap(), "cd api && python3 -m pytest -q");
/// assert_eq!(alternative_command("python x.py", None).unwrap(), "python3 x.py");
/// assert!(alternative_command("echo pytest", Some("pytest")).is_none());
/// ```
pub fn alternative_command(command: &str, missing: Option<&str>) -> Option<String> {
    for (start, end) in programs(command) {
        let program = &command[start..end];
        if missing.is_some_and(|missing| missing != program) {
            continue;
        }
        if let Some((_, instead)) = ALTERNATIVES.iter().find(|(name, _)| *name == program) {
            return Some(format!("{}{instead}{}", &command[..start], &command[end..]));
        }
    }
    None
}

/// Where the programs of a command line stand: the first word of each simple command, assignments aside. What is
/// quoted or cannot be told is no program.
fn programs(command: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut expects = true;
    let mut quote = None;
    let mut word: Option<usize> = None;
    let mut escaped = false;
    for (at, c) in command.char_indices().chain([(command.len(), '\n')]) {
        if escaped {
            escaped = false;
            continue;
        }
        if let Some(open) = quote {
            match c {
                '\\' if open == '"' => escaped = true,
                c if c == open => quote = None,
                _ => {}
            }
            continue;
        }
        let ends = c.is_whitespace() || ";&|()".contains(c);
        if !ends {
            word.get_or_insert(at);
            match c {
                '\'' | '"' | '`' => quote = Some(c),
                '\\' => escaped = true,
                _ => {}
            }
            continue;
        }
        if let Some(start) = word.take()
            && expects
        {
            let text = &command[start..at];
            if !text.contains('=') {
                found.push((start, at));
                expects = false;
            }
        }
        if c == '\n' || ";&|(".contains(c) {
            expects = true;
        }
    }
    found
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

/// Why a step failed: what its result says, else what the message looks like.
pub fn cause_of(step: &PlanStep, error: &str) -> Cause {
    let typed = step
        .result
        .as_ref()
        .and_then(|result| result.cause.or_else(|| serde_json::from_value(result.metadata.get("cause")?.clone()).ok()));
    typed.unwrap_or_else(|| cause_in(error))
}

/// What a message looks like. The last resort: typed results come first.
fn cause_in(error: &str) -> Cause {
    // In this order: "command not found" is no missing file.
    const SIGNS: &[(Cause, &[&str])] = &[
        (Cause::BlockedImport, &["blocked import"]),
        (Cause::MissingModule, &["no module named", "modulenotfounderror", "cannot find module", "module not found"]),
        (Cause::MissingCommand, &["command not found", ": not found"]),
        (Cause::UnknownTool, &["unknown tool"]),
        (Cause::InvalidArguments, &["missing required parameter", "invalid argument"]),
        (Cause::NotFound, &["file not found", "no such file", "not found", "does not exist"]),
        (Cause::PermissionDenied, &["permission denied", "not permitted", "access denied", "not allowed"]),
        (Cause::Timeout, &["timed out", "timeout"]),
        (Cause::OutOfMemory, &["out of memory", "memoryerror", "memory limit", "cannot allocate memory"]),
        (Cause::DiskFull, &["no space left", "disk full", "disk quota"]),
        (Cause::NetworkDenied, &["network is unreachable", "network is closed", "name resolution"]),
        (Cause::SyntaxError, &["syntaxerror", "syntax error"]),
        (Cause::Conflict, &["conflict on"]),
        (Cause::EditMismatch, &["old content not found"]),
    ];
    let error = error.to_lowercase();
    let sign = SIGNS.iter().find(|(_, signs)| signs.iter().any(|sign| error.contains(sign)));
    sign.map_or(Cause::Failed, |(cause, _)| *cause)
}

/// The name of the module that a message says is missing.
pub fn missing_module(error: &str) -> Option<&str> {
    let from = ["No module named ", "Cannot find module "];
    let rest = from.iter().find_map(|mark| error.split_once(mark))?.1;
    let name = rest.trim_start_matches(['\'', '"']);
    let end = name.find(|c: char| !(c.is_alphanumeric() || "_-@/".contains(c))).unwrap_or(name.len());
    (end > 0 && !name.starts_with(['-', '/', '.'])).then_some(&name[..end])
}

impl TaskPlanner {
    /// What to run instead of a failed step, or `None` when nothing can help. By cause: a file that is not found
    /// becomes a search for it at once; a cause that cannot change and has no remedy ends it; else the same step
    /// again while retries are left (with a remedied command where one is known); then the recovery table.
    pub fn replan_on_failure(&self, plan: &ExecutionPlan, failed_step: &PlanStep, error: &str) -> Option<PlanStep> {
        let cause = cause_of(failed_step, error);
        let has = |tool: &str| self.available_tools.iter().any(|known| known == tool);
        let with_fresh_id = |mut step: PlanStep, ending: &str| {
            let base = format!("{}_{ending}", failed_step.id);
            let taken = |id: &str| plan.steps.iter().any(|step| step.id.as_str() == id);
            let mut id = base.clone();
            let mut number = 2;
            while taken(&id) {
                id = format!("{base}_{number}");
                number += 1;
            }
            step.id = id.as_str().into();
            step.depends_on.clone_from(&failed_step.depends_on);
            step
        };
        let text = |key: &str| failed_step.params.get(key).and_then(Value::as_str);
        if cause == Cause::NotFound
            && has("search")
            && let Some(path) = text("path").filter(|path| !path.is_empty())
        {
            return Some(with_fresh_id(search_for(path), "search"));
        }
        if !cause.can_change() && !has_remedy(cause, &failed_step.tool) {
            return None;
        }
        let again = || {
            let mut step = failed_step.clone();
            step.status = StepStatus::Pending;
            step.result = None;
            step.error = None;
            step.retry_count += 1;
            step
        };
        let other_command = || {
            let command = alternative_command(text("command")?, missing_command(error))?;
            let mut step = again();
            step.params.insert("command".into(), command.into());
            Some(step)
        };
        if failed_step.can_retry() {
            return if cause == Cause::MissingCommand { other_command() } else { Some(again()) };
        }
        strategies(cause, &failed_step.tool).iter().find_map(|strategy| match strategy.kind {
            StrategyKind::UseAlternativeCommand => other_command(),
            StrategyKind::InstallMissingModule if has("shell") => {
                let module = missing_module(error)?;
                let root = if module.starts_with('@') { module } else { module.split('/').next().unwrap_or(module) };
                let command = if error.contains("Cannot find module") { "npm install" } else { "pip install" };
                let params = Map::from_iter([("command".to_owned(), json!(format!("{command} {}", quote(root))))]);
                let step = PlanStep::new("", "shell", params, format!("Install {root}"));
                Some(with_fresh_id(step, "install"))
            }
            StrategyKind::RaiseTimeout => {
                let now = failed_step.timeout.map_or(30, |time| time.as_secs().max(1));
                let then = (now * u64::from(strategy.factor)).min(strategy.ceiling);
                (then > now).then(|| {
                    let mut step = again();
                    step.timeout = Some(std::time::Duration::from_secs(then));
                    step
                })
            }
            _ => None,
        })
    }
}

/// The program that a message says is missing.
pub(crate) fn missing_command(error: &str) -> Option<&str> {
    // `sh: 1: pytest: not found`, `bash: line 1: pytest: command not found`
    let before = error.split_once(": command not found").or_else(|| error.split_once(": not found"))?.0;
    let name = before.rsplit([' ', '\n', ':']).next()?;
    (!name.is_empty()).then_some(name)
}

/// The recovery table as the page `docs/reference/recovery.md`.
pub fn reference() -> String {
    let mut page = String::from(
        "# Recovery\n\n<!-- Generated from crates/executor/src/planner/recovery.rs; a test compares the two. -->\n\n\
         What is done about a step that failed, by the cause of the failure and the tool: each strategy in turn, no more\n\
         often than stated and never more often than the step's `retries`. Every recovery is an event in the journal.\n\n\
         | cause | tool | strategies, in order |\n|---|---|---|\n",
    );
    for row in TABLE {
        let list = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let causes = list(row.causes.iter().map(|cause| cause.as_str()).collect());
        let tools = if row.tools.is_empty() { "any other".to_owned() } else { list(row.tools.to_vec()) };
        let strategies: Vec<String> = row
            .strategies
            .iter()
            .map(|strategy| {
                let often = match (strategy.kind, strategy.bound) {
                    (StrategyKind::GiveUp, _) => String::new(),
                    (_, Bound::Policy) => " (as `retries` says)".into(),
                    (_, Bound::Times(1)) => " (once)".into(),
                    (_, Bound::Times(times)) => format!(" ({times} times)"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::ToolResult;

    fn planner() -> TaskPlanner {
        TaskPlanner::new(["file_read", "search", "shell"].map(str::to_owned).to_vec())
    }

    fn failed(tool: &str, params: &Value) -> (ExecutionPlan, PlanStep) {
        let mut plan = ExecutionPlan::new("t");
        let step = plan.add_step(tool, params.as_object().unwrap().clone(), "d", vec!["step_0".into()]);
        step.status = StepStatus::Failed;
        let step = step.clone();
        (plan, step)
    }

    #[test]
    fn a_file_that_is_not_found_is_searched_at_once() {
        let (plan, step) = failed("file_read", &json!({"path": "conf/config[1].yaml"}));
        let search = planner().replan_on_failure(&plan, &step, "file not found").unwrap();
        assert_eq!((search.tool.as_str(), search.status), ("search", StepStatus::Pending));
        assert_eq!(Value::Object(search.params), json!({"pattern": "^", "file_pattern": "config[[]1[]].yaml"}));
        assert_eq!((search.id.as_str(), &search.depends_on), ("step_1_search", &step.depends_on));
    }

    #[test]
    fn what_cannot_change_is_not_tried_again() {
        let (plan, mut step) = failed("file_read", &json!({"path": "x"}));
        for error in ["Permission denied", "Unknown tool: x", "Missing required parameter: path"] {
            assert_eq!(planner().replan_on_failure(&plan, &step, error), None, "{error}");
        }
        step.result = Some(ToolResult::failure(Cause::SyntaxError, "file not found, says the message"));
        assert_eq!(planner().replan_on_failure(&plan, &step, "file not found"), None, "the type goes before the text");
        step.result.as_mut().unwrap().cause = None;
        assert_eq!(planner().replan_on_failure(&plan, &step, "file not found"), None, "also once it was journaled");
    }

    #[test]
    fn the_same_step_again_while_retries_are_left() {
        let (plan, mut step) = failed("shell", &json!({"command": "x"}));
        step.error = Some("boom".into());
        let again = planner().replan_on_failure(&plan, &step, "boom").unwrap();
        assert_eq!((again.id.as_str(), again.status, again.retry_count), ("step_1", StepStatus::Pending, 1));
        assert_eq!(again.error, None);
        step.retry_count = 2;
        assert_eq!(planner().replan_on_failure(&plan, &step, "boom"), None);
    }

    #[test]
    fn then_the_table() {
        let (plan, mut step) = failed("shell", &json!({"command": "cd a && pytest -q"}));
        let other = planner().replan_on_failure(&plan, &step, "sh: 1: pytest: not found").unwrap();
        assert_eq!(other.params["command"], "cd a && python3 -m pytest -q");
        step.retry_count = 2;
        let install =
            planner().replan_on_failure(&plan, &step, "ModuleNotFoundError: No module named 'foo.bar'").unwrap();
        assert_eq!(
            (install.params["command"].as_str(), install.id.as_str()),
            (Some("pip install foo"), "step_1_install")
        );
        let longer = planner().replan_on_failure(&plan, &step, "Command timed out after 30s").unwrap();
        assert_eq!(longer.timeout.unwrap().as_secs(), 60);
        step.timeout = Some(std::time::Duration::from_secs(1800));
        assert_eq!(planner().replan_on_failure(&plan, &step, "timed out"), None);
    }

    #[test]
    fn only_programs_are_replaced() {
        for (command, expected) in [
            ("pytest", Some("python3 -m pytest")),
            ("A=1 pytest x | tee y", Some("A=1 python3 -m pytest x | tee y")),
            ("(cd a; pytest)", Some("(cd a; python3 -m pytest)")),
            ("echo 'a && pytest'", None),
            ("grep pytest x", None),
            ("", None),
        ] {
            assert_eq!(alternative_command(command, Some("pytest")).as_deref(), expected, "{command}");
        }
    }

    #[test]
    fn every_cause_ends_in_giving_up_and_none_that_cannot_change_is_retried_blindly() {
        let causes: Vec<Cause> = TABLE.iter().flat_map(|row| row.causes).copied().collect();
        for cause in causes {
            for tool in ["file_read", "file_write", "edit", "shell", "run_code", "search", "mine"] {
                let found = strategies(cause, tool);
                assert_eq!(found.last().map(|s| s.kind), Some(StrategyKind::GiveUp), "{cause:?} {tool}");
                let blind = found.iter().any(|s| s.kind == StrategyKind::WaitAndRetry);
                assert!(!blind || cause.can_change(), "{cause:?} {tool}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_command_line_is_safe_to_look_at(command in "([a-z]{1,3}|pytest|[ ;&|()'\"`\\\\=\n]|é){0,20}", error in ".{0,60}") {
            let _ = alternative_command(&command, None);
            let _ = (missing_module(&error), missing_command(&error), cause_in(&error));
        }
    }
}
