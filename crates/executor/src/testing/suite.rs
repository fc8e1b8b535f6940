//! One runner in one folder, from its first round to its verdicts: what broke is isolated, what failed is run again
//! alone, what was left running is traced to a test.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use agentic_sandbox::ExitReason;

use super::report::{TestAttempt, TestCase, TestStatus, TestSuite};
use super::round::{Place, Ran, Stop, run};
use super::runners::{Exit, Round, Runner, Select};
use super::tally::{Known, Outcome, Tally, beginning, ending};
use super::verdict::{attempt, attempt_of, case, died, fails, is_bad, plain, tests, timed_out};
use crate::tools::ToolResult;
use crate::wait::{Backoff, Pace, Waiter};

/// Rounds that isolate what broke; a suite that breaks more often is broken.
const MOST_ROUNDS: u32 = 100;
/// Tests that are run again; where more fail, it is not by chance.
const MOST_RETRIED: usize = 50;
/// Problems that are told of one suite.
const MOST_PROBLEMS: usize = 50;
/// Bytes of the output of a command that reports no tests.
const MOST_WHOLE: usize = 256 << 10;
/// Bytes of the runner's own output that are kept.
const MOST_SHOWN: usize = 16 << 10;

/// How long to wait before what failed is run again.
const PACE: Pace = Pace { max: 0, delay: 0.2, factor: 2.0, max_delay: 5.0, jitter: true };

/// How a suite is run.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) workers: Option<u32>,
    pub(super) retries: u32,
    pub(super) retries_of_command: u32,
    pub(super) timeout: Duration,
    pub(super) timeout_of_command: Option<Duration>,
}

/// What is known of a test over all rounds; neither attempts nor skipped: it has no verdict.
pub(super) struct Record {
    pub(super) known: Known,
    pub(super) attempts: Vec<TestAttempt>,
    pub(super) skipped: Option<Option<String>>,
    pub(super) left: Vec<String>,
}

impl Record {
    fn is_decided(&self) -> bool {
        !self.attempts.is_empty() || self.skipped.is_some()
    }
}

/// What one round leaves to be done.
#[derive(Default)]
struct Next {
    /// They ran when the process died, and any of them may have killed it.
    suspects: Vec<Known>,
    /// It broke: what it did not come to is to be run.
    broke: bool,
}

pub(super) struct Suite<'a> {
    pub(super) place: &'a Place<'a>,
    pub(super) runner: &'a dyn Runner,
    pub(super) terms: &'a Terms,
    pub(super) records: Vec<Record>,
    pub(super) places: HashMap<String, usize>,
    rounds: u32,
    pub(super) told: TestSuite,
    pub(super) first: Duration,
    /// Tests that passed in a round whose leftovers could not be seen.
    pub(super) unseen: Vec<Known>,
    /// Rounds are run for what tests leave, not for their verdicts.
    pub(super) tracing: bool,
    /// It was meant to end before all tests were run: at a failure.
    ended_early: bool,
}

impl<'a> Suite<'a> {
    pub(super) fn new(place: &'a Place<'a>, runner: &'a dyn Runner, terms: &'a Terms, told: TestSuite) -> Self {
        Self {
            place,
            runner,
            terms,
            records: Vec::new(),
            places: HashMap::new(),
            rounds: 0,
            told,
            first: Duration::ZERO,
            unseen: Vec::new(),
            tracing: false,
            ended_early: false,
        }
    }

    /// Runs it all.
    ///
    /// # Errors
    /// The result to answer with, when the runner cannot be started at all.
    pub(super) fn run(mut self, waiter: &Waiter) -> Result<(TestSuite, Vec<TestCase>), Box<ToolResult>> {
        let began = Instant::now();
        let first = self.round(Select::All, self.terms.workers, 1)?;
        self.first = began.elapsed();
        self.told.returncode = first.output.reason.code();
        self.told.output = ending(first.text().trim_end(), MOST_SHOWN);
        let whole = self.runner.whole().filter(|_| first.tally.entries().is_empty());
        if let Some(whole) = whole {
            self.complain(&first);
            match first.output.reason {
                ExitReason::Exited(126 | 127) => self.judge_exit(&first),
                // A runner inside it came to its end and had none.
                _ if first.tally.finished => {}
                _ => self.run_whole(&whole, first, waiter)?,
            }
            self.told.rounds = self.rounds;
            self.told.duration = began.elapsed().as_secs_f64();
            return Ok(self.report());
        }
        let next = self.take(&first, 1, None);
        self.trace_left(&first)?;
        if self.place.fail_fast && (next.broke || self.records.iter().any(fails)) {
            self.ended_early = true;
        } else {
            self.isolate(first.tally, next)?;
            if self.may_go_on() {
                self.retry(waiter)?;
            }
            self.look_for_unseen()?;
        }
        self.told.rounds = self.rounds;
        self.told.duration = began.elapsed().as_secs_f64();
        self.told.notes.extend(self.runner.notes(self.terms.workers));
        Ok(self.report())
    }

    /// A command without a report: it is the test.
    fn run_whole(&mut self, whole: &Known, first: Ran, waiter: &Waiter) -> Result<(), Box<ToolResult>> {
        self.told.notes.push("it reports no tests of its own: the whole command counts as one".into());
        let pace = Pace { max: self.terms.retries_of_command, ..PACE };
        let mut ran = first;
        let mut waits = Backoff::new(&pace);
        for again in 2.. {
            let text = ending(&ran.text(), MOST_WHOLE);
            let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned);
            let (status, message) = match ran.output.reason {
                ExitReason::Exited(0) => (TestStatus::Passed, None),
                ExitReason::Exited(code) => {
                    let said = last.map(|last| format!(": {}", beginning(&last, 400))).unwrap_or_default();
                    (TestStatus::Failed, Some(format!("ended with status {code}{said}")))
                }
                ExitReason::TimedOut => (TestStatus::TimedOut, Some(timed_out(ran.output.usage.wall, None))),
                ExitReason::Cancelled if ran.stop.is_some() => {
                    (TestStatus::TimedOut, Some(timed_out(self.terms.timeout_of_command.unwrap_or_default(), None)))
                }
                ExitReason::Cancelled => return Ok(()),
                reason => (TestStatus::Crashed, Some(died(reason))),
            };
            let passed = status == TestStatus::Passed;
            let duration = Some(ran.output.usage.wall.as_secs_f64());
            self.told.output.clone_from(&text);
            let output = if passed { String::new() } else { text };
            self.add(whole, TestAttempt { status, duration, message, output });
            self.left_by(whole, &ran);
            if passed || status == TestStatus::TimedOut {
                break;
            }
            let Some(wait) = waits.next() else { break };
            waiter.wait(wait, self.place.context.cancel);
            if !self.may_go_on() {
                break;
            }
            ran = self.round(Select::All, self.terms.workers.map(|_| 1), again)?;
        }
        Ok(())
    }

    pub(super) fn round(&mut self, select: Select, workers: Option<u32>, attempt: u32) -> Result<Ran, Box<ToolResult>> {
        self.rounds += 1;
        let silent = self.runner.whole().and(self.terms.timeout_of_command);
        let round = Round { select, workers, timeout: self.terms.timeout, silent, told: attempt == 1 && !self.tracing };
        run(self.place, self.runner, &round, self.rounds, attempt)
    }
    /// A round of one test, alone.
    fn alone(&mut self, test: &Known, attempt: u32) -> Result<Ran, Box<ToolResult>> {
        self.round(Select::Only(vec![test.clone()]), self.terms.workers.map(|_| 1), attempt)
    }
    pub(super) fn may_go_on(&self) -> bool {
        !self.place.context.cancel.is_cancelled() && Instant::now() < self.place.deadline
    }
    pub(super) fn record(&mut self, known: &Known) -> &mut Record {
        let place = *self.places.entry(known.id.clone()).or_insert_with(|| {
            self.records.push(Record { known: known.clone(), attempts: Vec::new(), skipped: None, left: Vec::new() });
            self.records.len() - 1
        });
        &mut self.records[place]
    }
    fn add(&mut self, known: &Known, attempt: TestAttempt) {
        self.record(known).attempts.push(attempt);
    }

    /// Takes in what a round says of tests (or of the one that it was for) which have no verdict of that attempt yet.
    fn take(&mut self, ran: &Ran, attempt: u32, only: Option<&Known>) -> Next {
        let before = attempt as usize - 1;
        let wanted = |known: &Known| only.is_none_or(|only| only.id == known.id);
        for entry in ran.tally.entries().iter().filter(|entry| wanted(&entry.known)) {
            // Remembered also without an end: who never gets one is told.
            let record = self.record(&entry.known);
            let Some(end) = &entry.ended else { continue };
            if record.attempts.len() > before || record.skipped.is_some() {
                continue;
            }
            match end.status {
                Outcome::Skipped if attempt == 1 => record.skipped = Some(end.reason.clone()),
                // Skipped when it is run again: it did not fail this time, and did not pass either.
                Outcome::Skipped => {}
                _ => {
                    // The runner's own second try is one all the same.
                    if end.attempts > 1 && end.status == Outcome::Passed {
                        let message = "failed, and was run again by the runner itself".to_owned();
                        record.attempts.push(self::attempt(TestStatus::Failed, None, message));
                    }
                    record.attempts.push(attempt_of(end));
                }
            }
        }
        self.complain(ran);
        self.judge_exit(ran);
        self.broken(ran, only)
    }
    /// Takes in what was wrong with a round's report, and outside its tests.
    fn complain(&mut self, ran: &Ran) {
        for problem in ran.tally.faults.iter().chain(&ran.tally.errors) {
            self.problem(problem.clone());
        }
    }
    fn problem(&mut self, problem: String) {
        if !self.told.problems.contains(&problem) && self.told.problems.len() < MOST_PROBLEMS {
            self.told.problems.push(problem);
        }
    }
    /// What a round that did not come to its end says of the tests that ran then.
    fn broken(&mut self, ran: &Ran, only: Option<&Known>) -> Next {
        let wanted = |known: &&Known| only.is_none_or(|only| only.id == known.id);
        let running: Vec<Known> = ran.tally.running().filter(wanted).cloned().collect();
        let undecided: Vec<Known> = ran.tally.undecided().cloned().collect();
        match (&ran.stop, ran.output.reason) {
            // One of them may have died long ago.
            (Some(Stop::Overdue(overdue)), _) if overdue.len() > 1 && self.runner.tells_deaths_late() => {
                Next { broke: true, suspects: [undecided, overdue.clone()].concat() }
            }
            (Some(Stop::Overdue(overdue)), _) => {
                for test in overdue.iter().filter(wanted) {
                    let phase = ran.tally.get(&test.id).and_then(|entry| entry.phase.clone());
                    let message = timed_out(self.terms.timeout, phase.as_deref());
                    let duration = Some(self.terms.timeout.as_secs_f64());
                    self.add(test, attempt(TestStatus::TimedOut, duration, message));
                }
                Next { broke: true, suspects: undecided }
            }
            (Some(Stop::Hung), _) => {
                let after = plain(self.terms.timeout);
                self.told.problems.push(format!(
                    "the runner did not end after its last test and was ended {after} s later: something outside any \
                     test hangs (a teardown, a thread, a child process)"
                ));
                Next::default()
            }
            (Some(Stop::FailFast), _) | (None, ExitReason::Cancelled) => Next::default(),
            (None, ExitReason::TimedOut) => {
                let not_run = ran.tally.unfinished().count();
                self.told.problems.push(format!(
                    "the time for the whole run was over; {} without a verdict ({} running): allow it more (global_timeout)",
                    tests(not_run),
                    running.len()
                ));
                Next::default()
            }
            (None, reason) => {
                let unfinished = ran.tally.unfinished().count();
                // One that came to its own end before all were run meant to (`pytest -x`, `pytest.exit`).
                let through = if self.runner.says_finished() {
                    ran.tally.finished && !ran.tally.cut_off
                } else {
                    !ran.tally.cut_off && unfinished == 0
                };
                let failed = ran.tally.entries().iter().any(|entry| entry.ended.as_ref().is_some_and(is_bad));
                self.ended_early |= through && unfinished > 0 && failed;
                match running.as_slice() {
                    [] => {
                        let any = ran.tally.entries().iter().any(|entry| entry.ended.is_some());
                        Next { broke: !through && (any || !undecided.is_empty()), suspects: undecided }
                    }
                    [one] if undecided.is_empty() => {
                        self.add(one, attempt(TestStatus::Crashed, None, died(reason)));
                        if let Some(last) = self.record(one).attempts.last_mut() {
                            last.output = ending(ran.text().trim_end(), MOST_SHOWN);
                        }
                        Next { broke: true, suspects: Vec::new() }
                    }
                    _ => Next { broke: true, suspects: [undecided, running].concat() },
                }
            }
        }
    }

    /// Runs what a broken round did not come to, apart from what broke it.
    fn isolate(&mut self, tally: Tally, next: Next) -> Result<(), Box<ToolResult>> {
        let mut rounds = vec![(tally, next)];
        while let Some((tally, next)) = rounds.pop() {
            for suspect in &next.suspects {
                if !self.may_isolate(&tally) {
                    return Ok(());
                }
                let ran = self.alone(suspect, 1)?;
                self.take(&ran, 1, Some(suspect));
                self.left_by(suspect, &ran);
            }
            if !next.broke {
                continue;
            }
            let done: Vec<Known> = self.done();
            for select in self.runner.rest(&tally, &done) {
                if !self.may_isolate(&tally) {
                    return Ok(());
                }
                let known = self.records.len();
                let decided = self.decided();
                let ran = self.round(select, self.terms.workers, 1)?;
                let next = self.take(&ran, 1, None);
                self.trace_left(&ran)?;
                // One that broke and taught nothing would go on for ever.
                let learned = self.decided() > decided || self.records.len() > known || !next.suspects.is_empty();
                if next.broke && !learned {
                    let count = ran.tally.unfinished().count();
                    let reason = died(ran.output.reason);
                    self.told
                        .problems
                        .push(format!("the runner {reason} outside any test, twice; not run: {}", tests(count)));
                    continue;
                }
                rounds.push((ran.tally, next));
            }
        }
        Ok(())
    }
    fn may_isolate(&mut self, tally: &Tally) -> bool {
        if !self.may_go_on() {
            let count = tally.unfinished().count();
            self.told.problems.push(format!("the run was ended; not run: {}", tests(count)));
            return false;
        }
        if self.rounds >= MOST_ROUNDS {
            let count = tally.unfinished().count();
            let more = if count > 0 { tests(count) } else { "tests that are not known".into() };
            self.told.problems.push(format!("the runner broke {MOST_ROUNDS} times; not run: {more}"));
            return false;
        }
        true
    }
    fn decided(&self) -> usize {
        self.records.iter().filter(|record| record.is_decided()).count()
    }
    fn done(&self) -> Vec<Known> {
        let done = self.records.iter().filter(|record| record.is_decided());
        done.map(|record| record.known.clone()).collect()
    }

    /// Runs what failed again, each test in a sandbox of its own.
    fn retry(&mut self, waiter: &Waiter) -> Result<(), Box<ToolResult>> {
        if self.terms.retries == 0 {
            return Ok(());
        }
        let failed: Vec<Known> = self.records.iter().filter(|record| fails(record)).map(|r| r.known.clone()).collect();
        if failed.is_empty() {
            return Ok(());
        }
        if failed.len() > MOST_RETRIED {
            self.told.notes.push(format!(
                "{} failed, of which the first {MOST_RETRIED} were run again: so many do not fail by chance",
                tests(failed.len())
            ));
        }
        let pace = Pace { max: self.terms.retries, ..PACE };
        for test in failed.iter().take(MOST_RETRIED) {
            for (again, wait) in (2..).zip(Backoff::new(&pace)) {
                waiter.wait(wait, self.place.context.cancel);
                if !self.may_go_on() {
                    return Ok(());
                }
                let ran = self.alone(test, again)?;
                let before = self.record(test).attempts.len();
                self.take(&ran, again, Some(test));
                self.left_by(test, &ran);
                let record = self.record(test);
                if record.attempts.len() == before {
                    let note = format!("{} could not be run again alone: the runner did not run it", test.id);
                    self.told.notes.push(note);
                    break;
                }
                let last = record.attempts.last().map(|attempt| attempt.status);
                // A hang costs its whole time; once more is enough to see that it is one.
                if !fails(record) || last == Some(TestStatus::TimedOut) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Compares a round's exit status with its report: a failure of one test explains that of no other round.
    fn judge_exit(&mut self, ran: &Ran) {
        if ran.stop.is_some() {
            return;
        }
        let any_failed = ran.tally.entries().iter().any(|entry| entry.ended.as_ref().is_some_and(is_bad));
        let running = ran.tally.running().chain(ran.tally.undecided()).next().is_some();
        let said = || {
            let text = ran.text();
            let last: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let last = last[last.len().saturating_sub(3)..].join(" / ");
            if last.is_empty() {
                "it printed nothing".to_owned()
            } else {
                format!("it said: {}", beginning(&last, 600))
            }
        };
        let code = match ran.output.reason {
            ExitReason::Exited(code) => code,
            // A process that died in the middle of a test is the test's matter.
            ExitReason::Signalled(_) if running => return,
            ExitReason::TimedOut | ExitReason::Cancelled => return,
            reason => {
                return self.problem(format!("the runner {}; {}", died(reason), said()));
            }
        };
        let none = ran.tally.entries().is_empty();
        if none && matches!(code, 126 | 127) {
            let why = if code == 127 { "is not installed" } else { "cannot be executed" };
            self.told.problems.push(format!("the runner or something it needs {why}; {}", said()));
            return;
        }
        match self.runner.exit(code) {
            Exit::Broken(why) => self.problem(format!("{why}; {}", said())),
            Exit::Failed if !any_failed && !running && self.told.problems.is_empty() => {
                let what = if none { "it ran no test" } else { "no test failed" };
                self.told.problems.push(format!("the runner ended with status {code}, and {what}; {}", said()));
            }
            Exit::Fine if any_failed => {
                let note = format!("the runner ended with status {code} although tests failed: the tests are believed");
                if !self.told.notes.contains(&note) {
                    self.told.notes.push(note);
                }
            }
            Exit::Fine if !none && self.runner.says_finished() && !ran.tally.finished && !running => {
                self.told.problems.push("the runner ended with status 0, and its report is cut off".into());
            }
            _ => {}
        }
    }

    fn report(self) -> (TestSuite, Vec<TestCase>) {
        let Self { mut told, records, ended_early, .. } = self;
        let lost: Vec<&str> = records.iter().filter(|one| !one.is_decided()).map(|one| one.known.id.as_str()).collect();
        if !lost.is_empty() {
            let named = lost.iter().take(5).map(|id| beginning(id, 200)).collect::<Vec<_>>().join(", ");
            let more = if lost.len() > 5 { ", …" } else { "" };
            // Meant to end where something failed; what passed when it was run again is no reason any more.
            if ended_early && records.iter().any(fails) {
                told.notes.push(format!("ended at a failure; not run: {} ({named}{more})", tests(lost.len())));
            } else {
                told.problems.push(format!("{} listed and without a verdict: {named}{more}", tests(lost.len())));
            }
        }
        (told, records.into_iter().filter_map(case).collect())
    }
}
