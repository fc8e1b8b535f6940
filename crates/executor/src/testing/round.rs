//! One start of a runner in a sandbox of its own, watched while it goes on: what it reports is read as it comes, and
//! the tree is ended when a test has had its time.

use std::io::Read;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentic_sandbox::{ExitReason, Output, Stream};

use super::runners::{Reader, Round, Runner, Select};
use super::tally::{Known, Outcome, Seen, Tally};
use crate::runtime::Runtimes;
use crate::tools::{ToolContext, ToolResult, host, not_started};
use crate::workspace::Exchange;

/// How often the report is looked at.
const LOOK: Duration = Duration::from_millis(40);
/// Bytes of a report that are read at most.
const MOST_REPORT: u64 = 256 << 20;
/// Bytes of it, and pieces of standard output, that are read between two looks at the clock.
const MOST_AT_ONCE: u64 = 8 << 20;
const PIECES_AT_ONCE: usize = 64;
/// Bytes of one line of it.
const MOST_LINE: usize = 1 << 20;

/// Where a suite's rounds are run.
pub(super) struct Place<'a> {
    pub(super) context: &'a ToolContext<'a>,
    pub(super) runtimes: &'a Runtimes,
    /// Absolute.
    pub(super) folder: std::path::PathBuf,
    pub(super) exchange: Exchange,
    /// The exchange folder as seen from `folder`.
    pub(super) way: std::path::PathBuf,
    /// When the whole must be over.
    pub(super) deadline: Instant,
    /// End the round at the first failure.
    pub(super) fail_fast: bool,
    /// Told of each test that ends.
    pub(super) tell: &'a (dyn Fn(&Known, Outcome, Option<f64>) + Send + Sync),
}

/// Why a round was ended by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// These had their time, and nothing else was running.
    Overdue(Vec<Known>),
    /// All tests were through, and it did not end.
    Hung,
    /// A test failed, and that was to be the end.
    FailFast,
}

/// What came of a round.
pub(super) struct Ran {
    pub(super) tally: Tally,
    pub(super) output: Output,
    pub(super) stop: Option<Stop>,
}

impl Ran {
    /// Whether the runner came to an end by itself.
    pub(super) fn by_itself(&self) -> bool {
        matches!(self.output.reason, ExitReason::Exited(_) | ExitReason::Signalled(_))
    }
    /// Text of both streams, as far as kept.
    pub(super) fn text(&self) -> String {
        let (stdout, stderr) = (self.output.stdout.text(), self.output.stderr.text());
        // Events are for programs.
        let stdout: String = stdout.split_inclusive('\n').filter(|line| !line.starts_with("{\"Time\":")).collect();
        let gap = if stdout.is_empty() || stdout.ends_with('\n') { "" } else { "\n" };
        format!("{stdout}{gap}{stderr}")
    }
}

struct State {
    tally: Tally,
    reader: Box<dyn Reader>,
    /// What of standard output is no whole line yet.
    line: Vec<u8>,
    /// Bytes of standard output that were read.
    printed: u64,
    last: Instant,
    stop: Option<Stop>,
    told: bool,
}

impl State {
    fn see(&mut self, seen: Vec<Seen>, place: &Place<'_>) {
        let now = Instant::now();
        for one in seen {
            self.last = now;
            if let Seen::Ended { test, end } = &one {
                if self.told {
                    (place.tell)(test, end.status, end.duration);
                }
                if place.fail_fast && !matches!(end.status, Outcome::Passed | Outcome::Skipped) {
                    self.stop.get_or_insert(Stop::FailFast);
                }
            }
            self.tally.see(one, now);
        }
    }
    /// Reads what was printed. The queue is short, so that a program which prints for ever waits for us.
    fn drain(&mut self, printed: &mpsc::Receiver<Vec<u8>>, most: usize, place: &Place<'_>) {
        for bytes in printed.try_iter().take(most) {
            self.printed += bytes.len() as u64;
            if self.printed <= MOST_REPORT {
                self.stdout(&bytes, place);
            } else {
                self.tally.fault(format!("the runner prints more than {} MB", MOST_REPORT >> 20));
            }
        }
    }
    fn stdout(&mut self, bytes: &[u8], place: &Place<'_>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() <= MOST_LINE {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let mut seen = Vec::new();
                self.reader.line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']), &mut seen);
                self.see(seen, place);
            }
        }
    }
    /// Whether it is time to end the tree.
    fn judge(&mut self, round: &Round, runner: &dyn Runner) -> bool {
        let timeout = round.timeout + runner.slack();
        if self.stop.is_none() {
            let now = Instant::now();
            let overdue = self.tally.overdue(timeout, now);
            let running = self.tally.running().count();
            // Quiet is the end only where all tests were listed before the first; elsewhere something may be compiled.
            let through = runner.lists()
                && self.tally.entries().iter().any(|entry| entry.ended.is_some())
                && self.tally.unfinished().next().is_none();
            let silent = round.silent.filter(|_| self.tally.entries().is_empty());
            if silent.is_some_and(|most| now.duration_since(self.last) > most) {
                self.stop = Some(Stop::Overdue(Vec::new()));
            } else if !overdue.is_empty() && overdue.len() == running {
                self.stop = Some(Stop::Overdue(overdue));
            } else if (through || self.tally.finished) && now.duration_since(self.last) > timeout {
                self.stop = Some(Stop::Hung);
            }
        }
        self.stop.is_some()
    }
}

/// Reads the file of events as it grows.
struct Events<'a> {
    exchange: &'a Exchange,
    name: String,
    file: Option<std::fs::File>,
    line: Vec<u8>,
    read: u64,
}

impl Events<'_> {
    fn look(&mut self, state: &mut State, place: &Place<'_>, most: u64) {
        let until = self.read.saturating_add(most);
        if self.file.is_none() {
            match self.exchange.open(&self.name) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
                Err(error) => return state.tally.fault(format!("the report cannot be read: {error}")),
            }
        }
        let Some(file) = &mut self.file else { return };
        if file.metadata().is_ok_and(|found| found.len() < self.read) {
            state.tally.fault("the report is cut off: it became shorter".into());
        }
        let mut chunk = vec![0; 64 << 10];
        while self.read < until {
            if self.read > MOST_REPORT {
                return state.tally.fault(format!("the report is larger than {} MB", MOST_REPORT >> 20));
            }
            let count = match file.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return state.tally.fault(format!("the report cannot be read: {error}")),
            };
            self.read += count as u64;
            let mut seen = Vec::new();
            let mut faults = Vec::new();
            for piece in chunk[..count].split_inclusive(|byte| *byte == b'\n') {
                if self.line.len() <= MOST_LINE {
                    self.line.extend_from_slice(piece);
                }
                if !piece.ends_with(b"\n") {
                    continue;
                }
                let line = std::mem::take(&mut self.line);
                if line.len() > MOST_LINE {
                    faults.push("the report has a line of more than 1 MiB".to_owned());
                } else if state.reader.event(&line, &mut seen).is_err() {
                    faults.push("the report has a line that its runner does not write".to_owned());
                }
            }
            state.see(seen, place);
            faults.into_iter().for_each(|fault| state.tally.fault(fault));
        }
    }
}

/// Starts a runner and waits for its end.
///
/// # Errors
/// The result to answer with, when it cannot be started at all.
pub(super) fn run(
    place: &Place<'_>,
    runner: &dyn Runner,
    round: &Round,
    number: u32,
    attempt: u32,
) -> Result<Ran, Box<ToolResult>> {
    let failed = |what: &str, error: std::io::Error| {
        Box::new(ToolResult::failure(crate::Cause::Failed, format!("failed to {what}: {error}")))
    };
    let events_name = format!("events-{number}.jsonl");
    let mut env = vec![
        ("AGENTIC_TEST_DIR".to_owned(), format!("\"$PWD\"/{}", quoted(&place.way.to_string_lossy()))),
        ("AGENTIC_TEST_EVENTS".to_owned(), format!("\"$AGENTIC_TEST_DIR\"/{events_name}")),
        ("AGENTIC_TEST_ATTEMPT".to_owned(), attempt.to_string()),
    ];
    let ids = |tests: &[Known]| tests.iter().map(|test| test.id.clone()).collect::<Vec<_>>();
    let select = match &round.select {
        Select::All => None,
        Select::Only(tests) => Some(serde_json::json!({ "only": ids(tests) })),
        Select::Except { done: tests, .. } => Some(serde_json::json!({ "except": ids(tests) })),
    };
    if let Some(select) = select {
        let name = format!("select-{number}.json");
        place.exchange.put(&name, select.to_string().as_bytes()).map_err(|error| failed("write a selection", error))?;
        env.push(("AGENTIC_TEST_SELECT".to_owned(), format!("\"$AGENTIC_TEST_DIR\"/{name}")));
    }
    let launch = runner.launch(round);
    for (name, text) in &launch.files {
        place.exchange.put(name, text.as_bytes()).map_err(|error| failed("prepare the tests", error))?;
    }
    env.extend(launch.env.into_iter().map(|(name, value)| (name.to_owned(), value)));
    // One after the other: the later ones are made of the earlier.
    let exports: Vec<String> = env.iter().map(|(name, value)| format!("export {name}={value}")).collect();
    let line = format!("{}\n{}", exports.join("; "), launch.line);
    let rest = place.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
    let (mut command, notes) = host::command(&line, &place.folder, rest, place.runtimes, place.context)?;

    let now = Instant::now();
    let mut events = Events { exchange: &place.exchange, name: events_name, file: None, line: Vec::new(), read: 0 };
    let (send, printed) = mpsc::sync_channel::<Vec<u8>>(PIECES_AT_ONCE);
    if runner.reads_stdout() {
        let send = Mutex::new(send);
        command.stdout(Stream::Observe(Arc::new(move |bytes: &[u8]| {
            // Nobody reads any more when the round is over.
            send.lock().unwrap_or_else(PoisonError::into_inner).send(bytes.to_vec()).ok();
        })));
    } else {
        drop(send);
    }
    let child = command.spawn(place.context.sandbox).map_err(|error| Box::new(not_started(&error)))?;
    let killer = child.killer();
    let cancelled = child.killer();
    let _guard = place.context.cancel.on_cancel(move || cancelled.kill());
    let (done, over) = mpsc::channel::<()>();
    let mut state = State {
        tally: Tally::default(),
        reader: runner.reader(),
        line: Vec::new(),
        printed: 0,
        last: now,
        stop: None,
        told: round.told,
    };
    let output = std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            let output = child.wait();
            drop(done);
            output
        });
        loop {
            let more = over.recv_timeout(LOOK);
            state.drain(&printed, PIECES_AT_ONCE, place);
            events.look(&mut state, place, MOST_AT_ONCE);
            if !matches!(more, Err(RecvTimeoutError::Timeout)) {
                break;
            }
            if state.judge(round, runner) {
                killer.kill();
            }
        }
        waiting.join().unwrap_or_else(|_| Err(agentic_sandbox::Error::Spawner("waiting for the run panicked".into())))
    });
    let mut output = output.map_err(|error| Box::new(not_started(&error)))?;
    output.enforced.extend(notes);
    state.drain(&printed, usize::MAX, place);
    events.look(&mut state, place, u64::MAX);
    let mut seen = Vec::new();
    state.reader.end(&output, &mut seen);
    state.see(seen, place);
    match runner.reports(&place.exchange) {
        Ok(seen) => state.see(seen, place),
        Err(fault) => state.tally.fault(fault),
    }
    if matches!(output.reason, ExitReason::Exited(_)) {
        state.tally.close();
    }
    // What it was asked to end for counts only where that ended it.
    let stop = state.stop.filter(|_| output.reason == ExitReason::Cancelled);
    Ok(Ran { tally: state.tally, output, stop })
}

fn quoted(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| String::new(), std::borrow::Cow::into_owned)
}
