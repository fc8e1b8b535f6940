//! From what was seen of a test to what is said of it.

use std::time::Duration;

use agentic_sandbox::ExitReason;

use super::died_of;
use super::report::{TestAttempt, TestCase, TestStatus};
use super::suite::Record;
use super::tally::{Ended, Known, Outcome, Tally};

/// A test with its verdict; `None` for one that was never decided.
pub(super) fn case(record: Record) -> Option<TestCase> {
    let Record { known, attempts, skipped, left } = record;
    let failure = |attempt: &&TestAttempt| attempt.status != TestStatus::Passed;
    let (status, message, output) = match (&skipped, attempts.last()) {
        (Some(reason), None) => (TestStatus::Skipped, reason.clone(), String::new()),
        (_, Some(last)) => {
            let failed = attempts.iter().rev().find(failure);
            let status = match (last.status, failed.is_some(), left.is_empty()) {
                (TestStatus::Passed, true, _) => TestStatus::Flaky,
                (TestStatus::Passed, false, false) => TestStatus::Leaky,
                (status, ..) => status,
            };
            let (message, output) = failed.map(|one| (one.message.clone(), one.output.clone())).unwrap_or_default();
            (status, message, output)
        }
        (None, None) => return None,
    };
    Some(TestCase {
        id: known.id,
        name: known.name,
        suite: known.suite,
        status,
        duration: attempts.last().and_then(|attempt| attempt.duration),
        file: known.file,
        line: known.line,
        message,
        output,
        attempts,
        left_processes: left,
        suite_index: 0,
    })
}

pub(super) fn is_bad(end: &Ended) -> bool {
    !matches!(end.status, Outcome::Passed | Outcome::Skipped)
}

pub(super) fn fails(record: &Record) -> bool {
    record.attempts.last().is_some_and(|attempt| attempt.status != TestStatus::Passed)
}

pub(super) fn passed(tally: &Tally) -> Vec<Known> {
    let passed = |end: &Ended| end.status == Outcome::Passed;
    let entries = tally.entries().iter().filter(|entry| entry.ended.as_ref().is_some_and(passed));
    entries.map(|entry| entry.known.clone()).collect()
}

pub(super) fn attempt(status: TestStatus, duration: Option<f64>, message: String) -> TestAttempt {
    TestAttempt { status, duration, message: Some(message), output: String::new() }
}

pub(super) fn attempt_of(end: &Ended) -> TestAttempt {
    let status = match end.status {
        Outcome::Passed | Outcome::Skipped => TestStatus::Passed,
        Outcome::Failed => TestStatus::Failed,
        Outcome::Crashed => TestStatus::Crashed,
        Outcome::TimedOut => TestStatus::TimedOut,
    };
    TestAttempt { status, duration: end.duration, message: end.message.clone(), output: end.output.clone() }
}

pub(super) fn timed_out(limit: Duration, phase: Option<&str>) -> String {
    let limit = plain(limit);
    match phase {
        Some("teardown") => format!("timed out after {limit} s, in its teardown: the test itself had come to its end"),
        _ => format!("timed out after {limit} s"),
    }
}

/// How a process ended, as the end of a sentence.
pub(super) fn died(reason: ExitReason) -> String {
    match reason {
        ExitReason::Exited(code) => format!("ended with status {code} in the middle of it"),
        ExitReason::Signalled(signal) => died_of(signal.into()),
        ExitReason::MemoryExceeded => "was ended by the memory limit".into(),
        ExitReason::DiskExceeded => "was ended by the disk limit".into(),
        ExitReason::TimedOut => "was ended by the time limit".into(),
        ExitReason::Cancelled => "was ended".into(),
    }
}

pub(super) fn tests(count: usize) -> String {
    if count == 1 { "1 test".into() } else { format!("{count} tests") }
}

pub(super) fn plain(time: Duration) -> String {
    format!("{}", time.as_secs_f64())
}
