//! A project's own tests, run in the sandbox by its own runner, with a verdict for each test.
//!
//! [`TestReport`] is what comes of it. A suite is run whole at first; a test that hangs or takes its process with it is
//! set apart and the others are run without it; what failed is run again, each test in a sandbox of its own; processes
//! that were left running are traced to their test. What the runner reports and how it ended must agree.
//!
//! One decision: reports come by ways of ours (plugins, reporters, the runner's own machine-readable output), and the
//! code under test runs in the same process as most of them. It can lie about itself, as it can to its own runner; what
//! does not fit together is told as a problem and is no success.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod command;
mod groups;
mod history;
mod junit;
mod leaks;
mod report;
mod round;
mod runners;
mod suite;
mod tally;
mod verdict;

pub use groups::TestGroup;
pub use history::{TestHistory, history};
pub(crate) use report::Strictness;
pub use report::{TestAttempt, TestCase, TestCounts, TestReport, TestRunStatus, TestStatus, TestSuite};

use self::command::TestCommand;
use self::round::Place;
use self::suite::{Suite, Terms};
use self::tally::{Known, Outcome};
use crate::Cause;
use crate::project::{ProjectView, test_commands};
use crate::runtime::Runtimes;
use crate::tools::{ToolContext, ToolResult};
use crate::wait::Waiter;
use crate::workspace::Dir;

/// How tests are to be run.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `None`: what the project's files say.
    pub(crate) command: Option<String>,
    pub(crate) workers: Option<u32>,
    pub(crate) retries: u32,
    /// Of a command that reports no tests.
    pub(crate) retries_of_command: u32,
    /// What one test may take.
    pub(crate) timeout: Duration,
    /// What a command that reports no tests may take; `None`: as long as all together.
    pub(crate) timeout_of_command: Option<Duration>,
    /// What all of them together may take.
    pub(crate) global_timeout: Duration,
    pub(crate) fail_fast: bool,
    pub(crate) strictness: Strictness,
}

/// A command that was found in a project, or given.
struct Found {
    folder: String,
    command: String,
    reason: Option<String>,
}

/// Runs the tests of the configured workspace.
///
/// # Errors
/// The result to answer with, when there is nothing to run or it cannot be started.
pub(crate) fn run(
    request: &Request,
    runtimes: &Runtimes,
    context: &ToolContext<'_>,
) -> Result<TestReport, Box<ToolResult>> {
    let began = Instant::now();
    let workspace = &context.config.workspace;
    let fault = |error: crate::workspace::WorkspaceError| {
        Box::new(ToolResult::failure(Cause::Failed, format!("failed to look at the project: {error}")))
    };
    let project = Dir::open_root(workspace).map_err(fault)?;
    let found = match &request.command {
        Some(command) => vec![Found { folder: String::new(), command: command.clone(), reason: None }],
        None => test_commands(&project)
            .into_iter()
            .map(|found| Found { folder: found.folder, command: found.command, reason: Some(found.reason) })
            .collect(),
    };
    let terms = Terms {
        workers: request.workers,
        retries: request.retries,
        retries_of_command: request.retries_of_command,
        timeout: request.timeout,
        timeout_of_command: request.timeout_of_command,
    };
    let tell = teller(context);
    let (mut suites, mut tests): (Vec<TestSuite>, Vec<TestCase>) = (Vec::new(), Vec::new());
    let count = found.len();
    for found in found {
        let folder = if found.folder.is_empty() { workspace.clone() } else { workspace.join(&found.folder) };
        let folder = folder.canonicalize().unwrap_or(folder);
        let parsed = TestCommand::parse(&found.command, &project as &dyn ProjectView, &found.folder);
        let runner = runners::of(parsed);
        let (exchange, way) = context.attempt.exchange(&folder).map_err(|error| {
            Box::new(ToolResult::failure(Cause::Failed, format!("failed to prepare the tests: {error}")))
        })?;
        for (name, text) in runner.files() {
            exchange.put(name, text.as_bytes()).map_err(|error| {
                Box::new(ToolResult::failure(Cause::Failed, format!("failed to prepare the tests: {error}")))
            })?;
        }
        let place = Place {
            context,
            runtimes,
            folder: folder.clone(),
            exchange,
            way,
            deadline: began + request.global_timeout,
            fail_fast: request.fail_fast,
            tell: &tell,
        };
        let told = TestSuite {
            runner: runner.name().to_owned(),
            folder: found.folder.clone(),
            command: found.command,
            reason: found.reason,
            returncode: 0,
            duration: 0.0,
            rounds: 0,
            problems: Vec::new(),
            notes: Vec::new(),
            left_processes: Vec::new(),
            output: String::new(),
        };
        let (suite, mut cases) = Suite::new(&place, &*runner, &terms, told).run(&Waiter::default())?;
        for case in &mut cases {
            case.suite_index = suites.len();
            case.file = case.file.take().map(|file| within(&file, workspace, &folder));
        }
        suites.push(suite);
        tests.extend(cases);
        if request.fail_fast && tests.iter().any(|test| test.status.is_failure()) {
            let left = count - suites.len();
            if let (Some(last), 1..) = (suites.last_mut(), left) {
                last.notes.push(format!("ended at a failure; not run: {left} more of the {count} suites"));
            }
            break;
        }
    }
    for (index, suite) in suites.iter_mut().enumerate() {
        let ran = tests.iter().any(|test| test.suite_index == index && test.status != TestStatus::Skipped);
        if !ran && count > 1 && suite.problems.is_empty() {
            suite.notes.push("no test was run here".into());
        }
    }
    Ok(TestReport::new(suites, tests, began.elapsed(), request.strictness))
}

/// A path as people read it: relative to the workspace where it lies in it.
fn within(file: &str, workspace: &Path, folder: &Path) -> String {
    let path = PathBuf::from(file);
    let path = if path.is_absolute() { path } else { folder.join(path) };
    path.strip_prefix(workspace).map_or_else(|_| path.display().to_string(), |path| path.display().to_string())
}

/// Shows a line for each test that ends, where somebody looks on.
fn teller(context: &ToolContext<'_>) -> impl Fn(&Known, Outcome, Option<f64>) + Send + Sync + use<> {
    let observer = context.on_output.clone();
    move |known, outcome, duration| {
        let Some(observer) = &observer else { return };
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Skipped => "skipped",
            Outcome::Crashed => "crashed",
            Outcome::TimedOut => "timed out",
        };
        let took = duration.map(|seconds| format!(" ({seconds:.2} s)")).unwrap_or_default();
        // A name may have lines of its own.
        let name = known.id.replace('\n', "\\n").replace('\r', "\\r");
        observer(format!("{word} {name}{took}\n").as_bytes());
    }
}

/// `died of signal 11 (SIGSEGV)`
fn died_of(signal: i64) -> String {
    const NAMES: [(i64, &str); 13] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
    ];
    let name = NAMES.iter().find(|(number, _)| *number == signal).map(|(_, name)| format!(" ({name})"));
    format!("died of signal {signal}{}", name.unwrap_or_default())
}
