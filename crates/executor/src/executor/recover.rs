//! What is done about a failed attempt: the strategies of the recovery table, tried in order, each bounded.
//!
//! A strategy either changes the call (another path, more time, another command) or is only taken where the
//! very same call can end differently. When none is left the step is given up, with the reason.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use super::call::{Door, Request};
use super::find_file::files_named;
use crate::cause::Cause;
use crate::config::Config;
use crate::planner::recovery::{self, Strategy, StrategyKind};
use crate::planner::{PlanStep, RetryPolicy};
use crate::tools::{Tool, ToolResult};
use crate::wait::{Backoff, Pace};

/// A step between attempts: what it will call next and what was tried.
#[derive(Debug)]
pub(super) struct Patient {
    /// The step, references resolved, as changed so far.
    pub(super) step: PlanStep,
    pub(super) memory: Option<u64>,
    pub(super) copy: bool,
    /// It met a conflict: no other call of the run beside it.
    pub(super) alone: bool,
    /// A red test was run again.
    pub(super) reran: bool,
    taken: HashMap<StrategyKind, u32>,
    waits: Backoff,
}

/// The next attempt.
#[derive(Debug)]
pub(super) struct Remedy {
    pub(super) strategy: StrategyKind,
    /// What it does here, in words.
    pub(super) detail: String,
    pub(super) wait: Duration,
    /// It changed the step, so that the plan is to say so.
    pub(super) edited: bool,
}

impl Patient {
    pub(super) fn new(step: PlanStep) -> Self {
        let waits = Backoff::new(&Pace::from(&step.retry));
        Self { step, memory: None, copy: false, alone: false, reran: false, taken: HashMap::new(), waits }
    }

    /// What to try next after `failed`, or why nothing is left.
    pub(super) fn treat(&mut self, door: &Door<'_>, failed: &ToolResult) -> Result<Remedy, String> {
        let cause = failed.cause.unwrap_or(Cause::Failed);
        let tool = door.registry.get(&self.step.tool);
        let mut reasons = Vec::new();
        for strategy in recovery::strategies(cause, &self.step.tool) {
            if strategy.kind == StrategyKind::GiveUp {
                break;
            }
            let taken = self.taken.get(&strategy.kind).copied().unwrap_or_default();
            let most = strategy.bound.most(self.step.retry.max);
            if taken >= most {
                reasons.push(match most {
                    0 => "retries are switched off for this step".into(),
                    _ => format!("{} was tried {taken} of {most} times", strategy.kind.as_str()),
                });
                continue;
            }
            match self.apply(strategy, door, tool.as_deref(), failed) {
                Ok(remedy) => {
                    self.reran |= cause == Cause::TestFailure;
                    *self.taken.entry(strategy.kind).or_default() += 1;
                    return Ok(remedy);
                }
                Err(reason) => reasons.push(reason),
            }
        }
        let closed = door.executor.config.sandbox.network == agentic_sandbox::Network::None;
        if reasons.is_empty() && cause == Cause::NetworkDenied && closed {
            reasons.push("the network is closed to steps".into());
        } else if reasons.is_empty() {
            reasons.push(format!("trying again cannot change `{}`", cause.as_str()));
        }
        Err(reasons.join("; "))
    }

    fn apply(
        &mut self,
        strategy: &Strategy,
        door: &Door<'_>,
        tool: Option<&dyn Tool>,
        failed: &ToolResult,
    ) -> Result<Remedy, String> {
        let remedy =
            |detail: String, edited| Ok(Remedy { strategy: strategy.kind, detail, wait: Duration::ZERO, edited });
        let config = &door.executor.config;
        match strategy.kind {
            StrategyKind::WaitAndRetry if failed.cause == Some(Cause::TestFailure) => {
                remedy("running again to tell a flaky test from a failing one".into(), false)
            }
            StrategyKind::WaitAndRetry => {
                if tool.is_some_and(|tool| !tool.retried_by_default()) && self.step.retry == RetryPolicy::default() {
                    return Err("the call may have had effects outside every layer; give the step a retry policy of \
                                its own if it may be repeated"
                        .into());
                }
                let wait = self.waits.next().ok_or("no retry is left")?;
                let detail = match wait.as_millis() {
                    0 => "trying again at once".into(),
                    1..100 => format!("trying again after {} ms", wait.as_millis()),
                    _ => format!("trying again after {:.1} s", wait.as_secs_f64()),
                };
                Ok(Remedy { strategy: strategy.kind, detail, wait, edited: false })
            }
            StrategyKind::SearchFileAndRetry => {
                let detail = self.search_by_name(config)?;
                remedy(detail, true)
            }
            StrategyKind::RaiseTimeout => {
                let detail = self.raise_timeout(strategy, config, tool, failed)?;
                remedy(detail, true)
            }
            StrategyKind::RaiseMemory => {
                let detail = self.raise_memory(strategy, config, failed)?;
                remedy(detail, false)
            }
            StrategyKind::UseAlternativeCommand => {
                let detail = self.alternative_command(failed)?;
                remedy(detail, true)
            }
            StrategyKind::RetryConflict => {
                self.alone = true;
                remedy("running again over the workspace as it is now".into(), false)
            }
            StrategyKind::RetryOnCopy => {
                self.copy = true;
                remedy("running again on a copy of the workspace, where folders can be renamed".into(), false)
            }
            StrategyKind::InstallMissingModule => {
                let detail = install_module(door, &self.step, failed)?;
                remedy(detail, false)
            }
            // `GiveUp` is looked at by the caller; what a later table adds is not known here.
            _ => Err(strategy.says.to_owned()),
        }
    }

    fn search_by_name(&mut self, config: &Config) -> Result<String, String> {
        let missing = self.step.params.get("path").and_then(Value::as_str).ok_or("no path among the arguments")?;
        let path = Path::new(missing);
        let name = path.file_name().ok_or_else(|| format!("`{missing}` has no file name to search for"))?;
        if path.is_absolute() && !path.starts_with(&config.workspace) {
            return Err(format!("`{missing}` is outside the workspace"));
        }
        let found = files_named(&config.workspace, name, 6).map_err(|error| error.to_string())?;
        match found.as_slice() {
            [] => Err(format!("no file in the workspace is called `{}`", name.display())),
            [only] => {
                let found = if path.is_absolute() { config.workspace.join(only) } else { only.clone() };
                let Some(found) = found.to_str() else { return Err("the file found has no UTF-8 path".into()) };
                if found == missing {
                    return Err(format!("`{missing}` is there and is not what the tool needs"));
                }
                let detail = format!("`{missing}` is not there; using `{found}`, the only file of that name");
                self.step.params.insert("path".into(), found.into());
                Ok(detail)
            }
            several => {
                let shown: Vec<String> = several.iter().take(5).map(|path| path.display().to_string()).collect();
                let more = if several.len() > 5 { ", …" } else { "" };
                Err(format!("several files are called `{}`: {}{more}; name one", name.display(), shown.join(", ")))
            }
        }
    }

    /// The time that governed the attempt is raised where it was set: argument, step, tool.
    fn raise_timeout(
        &mut self,
        strategy: &Strategy,
        config: &Config,
        tool: Option<&dyn Tool>,
        failed: &ToolResult,
    ) -> Result<String, String> {
        let argument = self.step.params.get("timeout").and_then(Value::as_f64);
        if argument.is_none() && self.step.timeout.is_none() {
            self.may_raise(config, "the time limit")?;
        }
        let said = || failed.metadata.get("timeout").and_then(Value::as_f64);
        let own = || tool.and_then(Tool::default_timeout).map(|time| time.as_secs_f64());
        let limit = argument
            .or_else(|| self.step.timeout.map(|time| time.as_secs_f64()))
            .or_else(own)
            .or_else(said)
            .ok_or("no time limit is known that could be raised")?;
        let raised = (limit * f64::from(strategy.factor)).min(strategy.ceiling as f64);
        let time = Duration::try_from_secs_f64(raised).map_err(|_| "the time limit is no number of seconds")?;
        if raised <= limit {
            return Err(format!("{limit} s is as long as a step may take"));
        }
        if argument.is_some() {
            // A whole number stays one: a schema may ask for it.
            let value = if raised.fract() == 0.0 { Value::from(time.as_secs()) } else { Value::from(raised) };
            self.step.params.insert("timeout".into(), value);
        } else {
            self.step.timeout = Some(time);
        }
        Ok(format!("raising the timeout from {limit} s to {raised} s"))
    }

    /// Refuses where the limits of code are the caller's last word.
    fn may_raise(&self, config: &Config, limit: &str) -> Result<(), String> {
        if config.sandbox.firm_limits && self.step.tool == "run_code" {
            return Err(format!("{limit} is the one that the sandbox was configured with"));
        }
        Ok(())
    }

    fn raise_memory(&mut self, strategy: &Strategy, config: &Config, failed: &ToolResult) -> Result<String, String> {
        self.may_raise(config, "the memory limit")?;
        let configured = || match self.step.tool.as_str() {
            "run_code" => config.sandbox.limits.clone().unwrap_or_default().memory,
            _ => {
                let host = || agentic_sandbox::Limits::for_host_view(config.host.memory);
                config.sandbox.host_limits.clone().unwrap_or_else(host).memory
            }
        };
        let said = failed.metadata.get("memory_limit").and_then(Value::as_u64);
        let limit = self.memory.or(said).unwrap_or_else(configured);
        let mut raised = limit.saturating_mul(strategy.factor.into());
        if config.host.memory > 0 {
            raised = raised.min(config.host.memory / 2);
        }
        if raised <= limit {
            return Err(format!("{} MB is half the machine's memory, or more", limit >> 20));
        }
        self.memory = Some(raised);
        Ok(format!("raising the memory limit from {} MB to {} MB", limit >> 20, raised >> 20))
    }

    fn alternative_command(&mut self, failed: &ToolResult) -> Result<String, String> {
        let command =
            self.step.params.get("command").and_then(Value::as_str).ok_or("no command among the arguments")?;
        let missing = failed.error.as_deref().and_then(recovery::missing_command);
        let other = recovery::alternative_command(command, missing)
            .ok_or_else(|| format!("no other command is known that does what `{command}` should"))?;
        let detail = format!("`{command}` needs a program that is not installed; using `{other}`");
        self.step.params.insert("command".into(), other.into());
        Ok(detail)
    }
}

/// Installs the module that is missing, through the door, where the network is open to steps.
fn install_module(door: &Door<'_>, step: &PlanStep, failed: &ToolResult) -> Result<String, String> {
    let said = failed.error.as_deref().and_then(recovery::missing_module);
    let module =
        failed.metadata.get("module").and_then(Value::as_str).or(said).ok_or("the missing module is not named")?;
    let package = module.split('.').next().unwrap_or_default();
    if package.is_empty() || !package.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
        return Err(format!("`{module}` is no name of a package"));
    }
    if door.executor.config.sandbox.network == agentic_sandbox::Network::None {
        return Err(format!(
            "`{package}` is not installed and the network is closed to steps; install it, or open the network"
        ));
    }
    let command = format!("python3 -m pip install {package}");
    let params = Map::from_iter([("command".to_owned(), Value::from(command.as_str()))]);
    let install = PlanStep { id: step.id.clone(), ..PlanStep::new("", "shell", params, format!("Install {package}")) };
    let request = Request { step: &install, attempt: 1, memory: None, copy: false, consented: false };
    let answered = door.call(&request).result;
    if answered.is_success() {
        return Ok(format!("`{package}` was not installed; installed it with `{command}`"));
    }
    Err(format!("installing `{package}` failed: {}", answered.error.unwrap_or_default()))
}
