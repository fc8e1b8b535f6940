//! What the journal remembers of each test: how often it ran, failed, was flaky, and how long it takes.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use super::report::{TestReport, TestStatus};
use crate::journal::{EventBody, Journal, JournalError};

/// Runs of the journal that are looked through, newest first.
const MOST_RUNS: usize = 2000;

/// One test over several runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestHistory {
    /// As its runner calls it.
    pub id: String,
    /// The folder that its runner ran in, relative to the workspace.
    pub folder: String,
    /// The runner.
    pub runner: String,
    /// Runs in which it was run (not skipped).
    pub runs: usize,
    /// Of these: passed at the first attempt.
    pub passed: usize,
    /// Failed, timed out or crashed at every attempt.
    pub failed: usize,
    /// Failed, and passed when run again.
    pub flaky: usize,
    /// Left processes running.
    pub leaky: usize,
    /// The part of its runs in which it was flaky, 0 to 1.
    pub flake_rate: f64,
    /// Mean seconds of an attempt, where its runner tells.
    pub mean_duration: Option<f64>,
    /// How it ended in the newest run.
    pub last: TestStatus,
    /// The newest run.
    pub last_run: String,
    #[serde(skip)]
    timed: usize,
}

/// The tests of a workspace in the newest `runs` runs that ran any, the flakiest first, then those that fail, then the
/// slowest.
///
/// # Errors
/// When the journal cannot be read. A report that is kept no more (`agentic gc`) is left out.
pub fn history(journal: &Journal, workspace: &Path, runs: usize) -> Result<Vec<TestHistory>, JournalError> {
    let mut tests: Vec<TestHistory> = Vec::new();
    let mut places: HashMap<(String, String, String), usize> = HashMap::new();
    let mut seen = 0;
    for run in journal.runs(MOST_RUNS)? {
        if seen >= runs {
            break;
        }
        if Path::new(&run.workspace) != workspace {
            continue;
        }
        let reports = reports(journal, &run.id)?;
        seen += usize::from(!reports.is_empty());
        for report in reports {
            for test in &report.tests {
                let Some(suite) = report.suites.get(test.suite_index) else { continue };
                let key = (suite.folder.clone(), suite.runner.clone(), test.id.clone());
                let place = *places.entry(key).or_insert_with(|| {
                    tests.push(TestHistory {
                        id: test.id.clone(),
                        folder: suite.folder.clone(),
                        runner: suite.runner.clone(),
                        runs: 0,
                        passed: 0,
                        failed: 0,
                        flaky: 0,
                        leaky: 0,
                        flake_rate: 0.0,
                        mean_duration: None,
                        last: test.status,
                        last_run: run.id.to_string(),
                        timed: 0,
                    });
                    tests.len() - 1
                });
                tests[place].add(test.status, test.duration);
            }
        }
    }
    for test in &mut tests {
        test.flake_rate = if test.runs == 0 { 0.0 } else { test.flaky as f64 / test.runs as f64 };
    }
    tests.sort_by(|a, b| {
        let slow = |test: &TestHistory| test.mean_duration.unwrap_or_default();
        b.flake_rate.total_cmp(&a.flake_rate).then(b.failed.cmp(&a.failed)).then(slow(b).total_cmp(&slow(a)))
    });
    Ok(tests)
}

impl TestHistory {
    fn add(&mut self, status: TestStatus, duration: Option<f64>) {
        if status == TestStatus::Skipped {
            return;
        }
        self.runs += 1;
        match status {
            TestStatus::Flaky => self.flaky += 1,
            TestStatus::Leaky => self.leaky += 1,
            TestStatus::Passed => self.passed += 1,
            _ => self.failed += 1,
        }
        if let Some(seconds) = duration {
            let before = self.mean_duration.unwrap_or_default() * self.timed as f64;
            self.timed += 1;
            self.mean_duration = Some((before + seconds) / self.timed as f64);
        }
    }
}

/// The reports of one run.
fn reports(journal: &Journal, run: &crate::RunId) -> Result<Vec<TestReport>, JournalError> {
    let mut reports = Vec::new();
    for event in journal.events(run)? {
        let EventBody::CallFinished { metadata, .. } = event.body else { continue };
        let Some(kept) = metadata.get("tests") else { continue };
        // What is kept no more has nothing to tell.
        let Ok(value) = journal.member(kept) else { continue };
        // Another tool's `tests` is not ours.
        reports.extend(serde_json::from_value::<TestReport>(value).ok());
    }
    Ok(reports)
}
