//! What came of a project's tests: one object, the same in Rust, Python, JSON and on the command line.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::groups::{TestGroup, group};

/// How a test ended, over all its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestStatus {
    /// At the first attempt.
    Passed,
    /// An assertion or an error, at every attempt.
    Failed,
    /// The runner did not run it, and meant not to.
    Skipped,
    /// It failed, and passed when it was run again in a process of its own.
    Flaky,
    /// It was still running when its time was over.
    TimedOut,
    /// The process that ran it died.
    Crashed,
    /// It passed and left processes running.
    Leaky,
}

impl TestStatus {
    /// The word used in JSON and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Flaky => "flaky",
            Self::TimedOut => "timed_out",
            Self::Crashed => "crashed",
            Self::Leaky => "leaky",
        }
    }
    /// Whether it is a failure whatever the settings say.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Crashed)
    }
}

/// How a whole run of tests ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestRunStatus {
    /// At least one test ran, and none failed.
    Passed,
    /// A test failed, timed out or crashed, or was flaky or leaky where that is to fail.
    Failed,
    /// Nothing was run: no runner, no tests, or all of them skipped by the selection. Not a success.
    NoTests,
    /// What the runner reports cannot be relied on, or it could not do its work; `problems` says why. Not a success.
    Error,
}

impl TestRunStatus {
    /// The word used in JSON and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NoTests => "no_tests",
            Self::Error => "error",
        }
    }
}

/// One time that a test was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestAttempt {
    /// Passed, failed, timed out or crashed.
    pub status: TestStatus,
    /// Seconds, as far as the runner tells.
    #[serde(default)]
    pub duration: Option<f64>,
    /// The line that says why it failed.
    #[serde(default)]
    pub message: Option<String>,
    /// What it printed, and where it failed.
    #[serde(default)]
    pub output: String,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestCase {
    /// What its runner calls it; unique among the tests of its folder and runner.
    pub id: String,
    /// Its name alone.
    pub name: String,
    /// What holds it: a class, a module, a package, a binary.
    #[serde(default)]
    pub suite: Option<String>,
    /// How it ended.
    pub status: TestStatus,
    /// Seconds of the last attempt, as far as the runner tells.
    #[serde(default)]
    pub duration: Option<f64>,
    /// The file it is in, relative to the workspace, where the runner tells.
    #[serde(default)]
    pub file: Option<String>,
    /// The line, from 1, where the runner tells.
    #[serde(default)]
    pub line: Option<u64>,
    /// The line that says why it failed, or why it was skipped.
    #[serde(default)]
    pub message: Option<String>,
    /// What it printed, and where it failed, at the last attempt that failed.
    #[serde(default)]
    pub output: String,
    /// Every attempt, the first one first; empty when it was skipped.
    #[serde(default)]
    pub attempts: Vec<TestAttempt>,
    /// Names of the processes that it left running.
    #[serde(default)]
    pub left_processes: Vec<String>,
    /// Which of the report's suites it belongs to.
    pub suite_index: usize,
}

/// One runner in one folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestSuite {
    /// `pytest`, `cargo test`, …; `command` where it is none that we know.
    pub runner: String,
    /// The folder it ran in, relative to the workspace; empty for the workspace itself.
    pub folder: String,
    /// The command of the first round, without what we add to it.
    pub command: String,
    /// Why this command, where it was found rather than given.
    #[serde(default)]
    pub reason: Option<String>,
    /// The runner's exit status in the first round, as a shell would show it.
    pub returncode: i32,
    /// Seconds, all rounds together.
    pub duration: f64,
    /// How many times the runner was started.
    pub rounds: u32,
    /// What was wrong with the runner or its report, or cannot be told.
    #[serde(default)]
    pub problems: Vec<String>,
    /// What cannot be told of this runner, or was not done, without being wrong.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Names of processes that were left running by tests that cannot be told.
    #[serde(default)]
    pub left_processes: Vec<String>,
    /// The end of what the runner printed in the first round.
    #[serde(default)]
    pub output: String,
}

/// How many tests ended in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestCounts {
    /// All.
    pub total: usize,
    /// Passed at the first attempt, and left nothing running.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
    /// Passed when run again.
    pub flaky: usize,
    /// Timed out.
    pub timed_out: usize,
    /// Crashed.
    pub crashed: usize,
    /// Passed and left processes running.
    pub leaky: usize,
}

impl TestCounts {
    fn of(tests: &[TestCase]) -> Self {
        let mut counts = Self { total: tests.len(), ..Self::default() };
        for test in tests {
            let count = match test.status {
                TestStatus::Passed => &mut counts.passed,
                TestStatus::Failed => &mut counts.failed,
                TestStatus::Skipped => &mut counts.skipped,
                TestStatus::Flaky => &mut counts.flaky,
                TestStatus::TimedOut => &mut counts.timed_out,
                TestStatus::Crashed => &mut counts.crashed,
                TestStatus::Leaky => &mut counts.leaky,
            };
            *count += 1;
        }
        counts
    }
    /// `3 passed, 1 failed, 1 flaky`: what is not zero, in the order of [`TestStatus`].
    pub fn in_words(&self) -> String {
        let all = [
            (self.passed, "passed"),
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.flaky, "flaky"),
            (self.timed_out, "timed out"),
            (self.crashed, "crashed"),
            (self.leaky, "leaky"),
        ];
        let told: Vec<String> =
            all.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        if told.is_empty() { "no tests".into() } else { told.join(", ") }
    }
}

/// Whether what ends well in the end is a failure all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Strictness {
    pub(crate) flaky: bool,
    pub(crate) leaky: bool,
}

/// What came of a project's tests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestReport {
    /// How the run ended.
    pub status: TestRunStatus,
    /// How many tests ended in each way.
    pub counts: TestCounts,
    /// Seconds.
    pub duration: f64,
    /// The runners, in the order they ran.
    pub suites: Vec<TestSuite>,
    /// The tests, in the order they were first seen.
    pub tests: Vec<TestCase>,
    /// Failures that have the same cause, the largest group first.
    #[serde(default)]
    pub groups: Vec<TestGroup>,
}

impl TestReport {
    /// Puts suites and tests together, and judges.
    pub(crate) fn new(
        suites: Vec<TestSuite>,
        tests: Vec<TestCase>,
        duration: Duration,
        strictness: Strictness,
    ) -> Self {
        let counts = TestCounts::of(&tests);
        let failed = counts.failed
            + counts.timed_out
            + counts.crashed
            + if strictness.flaky { counts.flaky } else { 0 }
            + if strictness.leaky { counts.leaky } else { 0 };
        let left = strictness.leaky && suites.iter().any(|suite| !suite.left_processes.is_empty());
        // A contradiction outweighs what was reported: who lies about one test may lie about all.
        let status = if suites.iter().any(|suite| !suite.problems.is_empty()) {
            TestRunStatus::Error
        } else if failed > 0 || left {
            TestRunStatus::Failed
        } else if counts.total == counts.skipped {
            TestRunStatus::NoTests
        } else {
            TestRunStatus::Passed
        };
        let groups = group(&tests);
        Self { status, counts, duration: duration.as_secs_f64(), suites, tests, groups }
    }
    /// The JSON Schema (2020-12) of a report.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
    /// Whether tests ran and none failed.
    pub fn is_success(&self) -> bool {
        self.status == TestRunStatus::Passed
    }
    /// What the one command printed that reported no tests of its own.
    pub(crate) fn whole_output(&self) -> Option<&str> {
        let ([suite], [test]) = (self.suites.as_slice(), self.tests.as_slice()) else { return None };
        (suite.runner == "command" && test.id == suite.command).then_some(suite.output.as_str())
    }
    /// What was wrong with the runners or their reports.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.suites.iter().flat_map(|suite| &suite.problems).map(String::as_str)
    }
    /// The tests with one of these statuses.
    pub fn with_status<'r>(&'r self, of: &'r [TestStatus]) -> impl Iterator<Item = &'r TestCase> {
        self.tests.iter().filter(|test| of.contains(&test.status))
    }
}
