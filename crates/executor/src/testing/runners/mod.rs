//! What we know of each runner: how to ask it for a report, for one test alone, for fewer at once; and how to read it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use agentic_sandbox::Output;

use super::command::{Kind, TestCommand};
use super::tally::{Known, Seen, Tally};
use crate::workspace::Exchange;

mod bats;
mod cargo;
mod command;
mod ctest;
mod go;
mod javascript;
mod junit;
mod nextest;
mod pytest;
mod unittest;

/// Which tests of a project a round is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Select {
    /// Whatever the command says.
    All,
    /// These.
    Only(Vec<Known>),
    /// All that it says but `done`; where files are named, what is in those.
    Except { files: Vec<String>, done: Vec<Known> },
}

/// One start of a runner.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) select: Select,
    /// Tests at once; `None`: as the project says.
    pub(super) workers: Option<u32>,
    /// What one test may take.
    pub(super) timeout: Duration,
    /// What it may take without a word of any test.
    pub(super) silent: Option<Duration>,
    /// Whether its verdicts are news.
    pub(super) told: bool,
}

/// How a round is started: a line for the shell, in an environment that has `AGENTIC_TEST_DIR` (the folder that
/// [`Runner::files`] are in), `AGENTIC_TEST_EVENTS`, `AGENTIC_TEST_ATTEMPT` and, with a selection, `AGENTIC_TEST_SELECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) line: String,
    /// Set before it, by a shell that knows `$AGENTIC_TEST_DIR`: the values are shell words already.
    pub(super) env: Vec<(&'static str, String)>,
    /// Written into the exchange folder before it.
    pub(super) files: Vec<(&'static str, String)>,
}

impl Launch {
    fn new(line: String) -> Self {
        Self { line, env: Vec::new(), files: Vec::new() }
    }
}

/// What an exit status says, by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    /// All is well, as the runner sees it.
    Fine,
    /// Tests failed.
    Failed,
    /// There were none.
    NoTests,
    /// It could not do its work.
    Broken(String),
}

/// Reads one round's words, line by line, as they come.
pub(super) trait Reader {
    /// A line of the file of events.
    ///
    /// # Errors
    /// When it is none that the runner writes.
    fn event(&mut self, line: &[u8], seen: &mut Vec<Seen>) -> Result<(), ()> {
        seen.push(serde_json::from_slice(line).map_err(|_| ())?);
        Ok(())
    }
    /// A line of standard output, for runners that say so by [`Runner::reads_stdout`].
    fn line(&mut self, _line: &str, _seen: &mut Vec<Seen>) {}
    /// The round is over; what is still open will not be closed.
    fn end(&mut self, _output: &Output, _seen: &mut Vec<Seen>) {}
}

/// Events of ours, and nothing else.
struct Plain;
impl Reader for Plain {}

/// A test runner.
pub(super) trait Runner: Send + Sync {
    /// As reports name it.
    fn name(&self) -> &'static str;
    /// What is put into the exchange folder, by name.
    fn files(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        Vec::new()
    }
    /// How a round is started.
    fn launch(&self, round: &Round) -> Launch;
    /// A fresh reader of one round's output.
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Plain)
    }
    /// Whether its standard output tells of the tests as they run.
    fn reads_stdout(&self) -> bool {
        false
    }
    /// What its own limits take longer than ours, so that it is the one to end a test.
    fn slack(&self) -> Duration {
        Duration::ZERO
    }
    /// Reads the reports that a round left.
    ///
    /// # Errors
    /// What is wrong with them.
    fn reports(&self, _exchange: &Exchange) -> Result<Vec<Seen>, String> {
        Ok(Vec::new())
    }
    /// What an exit status means.
    fn exit(&self, code: i32) -> Exit {
        if code == 0 { Exit::Fine } else { Exit::Failed }
    }
    /// Whether it says when it is through, so that a report without that end is cut off.
    fn says_finished(&self) -> bool {
        true
    }
    /// Whether it tells that a process died only when all else is through: until then its test seems to run.
    fn tells_deaths_late(&self) -> bool {
        false
    }
    /// Whether it lists all tests of a round before the first one runs.
    fn lists(&self) -> bool {
        false
    }
    /// What is to be run after a round that was cut off, when the tests `done` are left aside: each a round of its own.
    /// Default: what was listed and has not ended.
    fn rest(&self, tally: &Tally, done: &[Known]) -> Vec<Select> {
        let done: HashSet<&str> = done.iter().map(|test| test.id.as_str()).collect();
        let rest = tally.unfinished().filter(|known| !done.contains(known.id.as_str()));
        let rest: Vec<Known> = rest.cloned().collect();
        if rest.is_empty() { Vec::new() } else { vec![Select::Only(rest)] }
    }
    /// What stands for the whole command where it reports no test of its own.
    fn whole(&self) -> Option<Known> {
        None
    }
    /// What a person should know about these reports.
    fn notes(&self, _workers: Option<u32>) -> Vec<String> {
        Vec::new()
    }
}

/// The runner of a command.
pub(super) fn of(command: TestCommand) -> Box<dyn Runner> {
    match command.kind {
        Kind::Pytest => Box::new(pytest::Pytest(command)),
        Kind::Cargo => Box::new(cargo::Cargo(command)),
        Kind::Nextest => Box::new(nextest::Nextest(command)),
        Kind::Bats => Box::new(bats::Bats(command)),
        Kind::Ctest => Box::new(ctest::Ctest(command)),
        Kind::Jest | Kind::Vitest | Kind::Node => Box::new(javascript::JavaScript(command)),
        Kind::Go => Box::new(go::Go::new(command)),
        Kind::Unittest => Box::new(unittest::Unittest(command)),
        _ => Box::new(command::Opaque(command)),
    }
}

/// A path in the exchange folder, as a shell word.
fn inside(name: &str) -> String {
    format!("\"$AGENTIC_TEST_DIR\"/{name}")
}
