//! `run_tests`: the project's own tests, by its own runner, with a verdict for each test.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::code::seconds;
use super::commands::{self, BLOCKED_BY_DEFAULT};
use crate::cause::Cause;
use crate::runtime::Runtimes;
use crate::testing::{self, Request, Strictness, TestReport, TestRunStatus, TestStatus};
use crate::tools::{Resources, Tool, ToolCall, ToolContext, ToolResult};

/// Seconds that one test has when nobody says.
const TIMEOUT: f64 = 300.0;
/// Seconds that a run of tests has when nobody says.
const GLOBAL_TIMEOUT: f64 = 3600.0;
/// Tries after the first when nobody says.
const RETRIES: u32 = 2;
/// Failures that the text of the result shows.
const MOST_SHOWN: usize = 20;

/// What is made of a test that failed and then passed, or that left processes running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is reported and counted, and no failure.
    #[default]
    Pass,
    /// It fails the run.
    Fail,
}

/// The arguments of `run_tests`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunTestsParams {
    /// The test command. Default: what the project's files say (pytest, unittest, cargo test, nextest, go test, jest,
    /// vitest, node --test, bats, ctest, make test).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Tests at once. Default: as the project and its runner say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<u32>,
    /// How often a test that failed is run again, alone. Default 2; for a command that reports no tests of its own, 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 20))]
    pub retries: Option<u32>,
    /// Seconds that one test may take. Default 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    /// Seconds that the whole may take. Default 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_timeout: Option<f64>,
    /// End at the first failure.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fail_fast: bool,
    /// Whether a flaky test fails the run. Default: pass.
    pub flaky: Verdict,
    /// Whether a test that leaves processes running fails the run. Default: pass.
    pub leaky: Verdict,
}

/// Runs a project's tests. `metadata["tests"]` of the result is a [`TestReport`].
#[derive(Debug, Default)]
pub struct RunTestsTool {
    runtimes: Runtimes,
    shell: Option<Arc<dyn Tool>>,
}

impl RunTestsTool {
    /// The tool, with the commands that `shell` blocks by default.
    pub fn new() -> Self {
        Self::default()
    }
    /// The tool beside a `shell`, whose lists of commands it keeps to.
    pub fn beside(shell: Option<Arc<dyn Tool>>) -> Self {
        Self { shell, ..Self::default() }
    }
    fn admits(&self, command: &str) -> Result<(), String> {
        match &self.shell {
            Some(shell) => shell.admits(command),
            None => {
                let blocked: Vec<String> = BLOCKED_BY_DEFAULT.iter().map(|rule| (*rule).to_owned()).collect();
                commands::judge(command, None, &blocked)
            }
        }
    }
}

impl Tool for RunTestsTool {
    fn name(&self) -> &'static str {
        "run_tests"
    }
    fn description(&self) -> &'static str {
        "Run the project's tests with its own runner, in the sandbox, and report each test: passed, failed, skipped, \
         flaky, timed out, crashed or leaky, with its output and place. What fails is run again alone."
    }
    fn schema(&self) -> Value {
        super::schema::of::<RunTestsParams>()
    }
    fn resources(&self, _params: &Map<String, Value>) -> Resources {
        Resources::Independent
    }
    /// What failed was run again already.
    fn retried_by_default(&self) -> bool {
        false
    }
    fn execute(&self, call: &ToolCall, context: &ToolContext<'_>) -> ToolResult {
        let params: RunTestsParams = match super::validate::arguments(call, || self.schema()) {
            Ok(params) => params,
            Err(refused) => return refused,
        };
        let request = match request(self, &params, context) {
            Ok(request) => request,
            Err(refused) => return *refused,
        };
        match testing::run(&request, &self.runtimes, context) {
            Ok(report) => result(&report, context),
            Err(refused) => *refused,
        }
    }
}

fn request(
    tool: &RunTestsTool,
    params: &RunTestsParams,
    context: &ToolContext<'_>,
) -> Result<Request, Box<ToolResult>> {
    let refuse = |cause, pointer: &str, message: String| {
        Err(Box::new(ToolResult::failure(cause, message).with("pointer", pointer)))
    };
    if let Some(command) = &params.command {
        if command.trim().is_empty() || command.contains('\0') {
            let message = "`command` is empty or has a NUL byte".into();
            return refuse(Cause::InvalidArguments, "/command", message);
        }
        if let Err(reason) = tool.admits(command) {
            return refuse(Cause::PermissionDenied, "/command", reason);
        }
    }
    for (name, value) in [("timeout", params.timeout), ("global_timeout", params.global_timeout)] {
        if value.is_some_and(|value| seconds(value).is_none()) {
            let message = format!("`{name}` must be a number of seconds above 0");
            return refuse(Cause::InvalidArguments, &format!("/{name}"), message);
        }
    }
    if params.workers == Some(0) {
        return refuse(Cause::InvalidArguments, "/workers", "`workers` must be at least 1".into());
    }
    let global = context.timeout.or(params.global_timeout.and_then(seconds));
    Ok(Request {
        command: params.command.clone(),
        workers: params.workers,
        retries: params.retries.unwrap_or(RETRIES).min(20),
        retries_of_command: params.retries.unwrap_or(0).min(20),
        timeout: params.timeout.and_then(seconds).unwrap_or(Duration::from_secs_f64(TIMEOUT)),
        timeout_of_command: params.timeout.and_then(seconds),
        global_timeout: global.unwrap_or(Duration::from_secs_f64(GLOBAL_TIMEOUT)),
        fail_fast: params.fail_fast,
        strictness: Strictness { flaky: params.flaky == Verdict::Fail, leaky: params.leaky == Verdict::Fail },
    })
}

fn result(report: &TestReport, context: &ToolContext<'_>) -> ToolResult {
    let text = in_words(report);
    let mut result = if context.cancel.is_cancelled() {
        ToolResult::failure(Cause::Cancelled, format!("the tests were ended: {}", report.counts.in_words()))
    } else {
        match report.status {
            TestRunStatus::Passed => ToolResult::success(""),
            TestRunStatus::Failed => ToolResult::failure(Cause::TestFailure, report.counts.in_words()),
            TestRunStatus::NoTests if report.suites.is_empty() => ToolResult::failure(
                Cause::NotFound,
                "no tests were found: no file here says how tests are run; name the command that runs them",
            ),
            TestRunStatus::NoTests => ToolResult::failure(Cause::NotFound, "no tests were run"),
            TestRunStatus::Error => {
                let first = report.problems().next().unwrap_or("the tests could not be run");
                ToolResult::failure(Cause::Failed, first)
            }
        }
    };
    result.output = report.whole_output().map_or(text, str::to_owned).into();
    let code = report.suites.iter().map(|suite| suite.returncode).find(|code| *code != 0).unwrap_or(0);
    result.with("tests", serde_json::to_value(report).unwrap_or_default()).with("returncode", code).with("view", "host")
}

/// The report as a person or a model reads it.
fn in_words(report: &TestReport) -> String {
    let mut text = String::new();
    for suite in &report.suites {
        let place = if suite.folder.is_empty() { String::new() } else { format!(" in {}", suite.folder) };
        text.push_str(&format!("{}{place}: {}\n", suite.runner, suite.command));
        for problem in &suite.problems {
            text.push_str(&format!("  problem: {problem}\n"));
        }
        for note in &suite.notes {
            text.push_str(&format!("  note: {note}\n"));
        }
    }
    let bad = [TestStatus::Failed, TestStatus::TimedOut, TestStatus::Crashed, TestStatus::Flaky, TestStatus::Leaky];
    let shown: Vec<_> = report.with_status(&bad).collect();
    for test in shown.iter().take(MOST_SHOWN) {
        let place = match (&test.file, test.line) {
            (Some(file), Some(line)) => format!(" ({file}:{line})"),
            (Some(file), None) => format!(" ({file})"),
            _ => String::new(),
        };
        text.push_str(&format!("{} {}{place}\n", test.status.as_str().replace('_', " "), test.id));
        if let Some(message) = &test.message {
            text.push_str(&format!("    {}\n", message.lines().next().unwrap_or_default()));
        }
        if !test.left_processes.is_empty() {
            text.push_str(&format!("    left running: {}\n", test.left_processes.join(", ")));
        }
    }
    if shown.len() > MOST_SHOWN {
        text.push_str(&format!("… and {} more\n", shown.len() - MOST_SHOWN));
    }
    for group in &report.groups {
        text.push_str(&format!("{} tests for what looks like one cause: {}\n", group.tests.len(), group.cause));
    }
    text.push_str(&format!("{} in {:.2} s", report.counts.in_words(), report.duration));
    text
}
