//! What is known of one round while it goes on: [`Seen`] is what a runner says, [`Tally`] what follows from it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// Tests that one run may have; more are a fault of the report.
pub(super) const MOST_TESTS: usize = 200_000;
/// Bytes of text kept of one test's attempt.
const MOST_OUTPUT: usize = 32 << 10;
/// Bytes of output kept of one round.
const MOST_OUTPUTS: usize = 32 << 20;
/// Bytes of a name.
const MOST_NAME: usize = 8 << 10;

/// A test as its runner names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) suite: Option<String>,
    pub(super) file: Option<String>,
    pub(super) line: Option<u64>,
}

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Passed,
    Failed,
    Skipped,
    /// Its process died, as the runner itself found.
    Crashed,
    /// It took too long, as the runner itself found.
    TimedOut,
}

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Ended {
    pub(super) status: Outcome,
    #[serde(default)]
    pub(super) duration: Option<f64>,
    #[serde(default)]
    pub(super) message: Option<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(super) output: String,
    /// Why it was skipped.
    #[serde(default)]
    pub(super) reason: Option<String>,
    /// It ended before, and this is what counts: a timer of it threw later, the runner itself tried again.
    #[serde(default)]
    pub(super) revised: bool,
    /// How often the runner itself ran it.
    #[serde(default)]
    pub(super) attempts: u32,
}

fn or_nothing<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}

/// One thing that a runner says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Seen {
    /// It will run these.
    Listed { tests: Vec<Known> },
    /// One has begun.
    Started {
        #[serde(flatten)]
        test: Known,
    },
    /// One has ended.
    Ended {
        #[serde(flatten)]
        test: Known,
        #[serde(flatten)]
        end: Ended,
    },
    /// A file with tests is looked at.
    FileStarted { file: String },
    /// It has been; `message` when it could not be loaded or its process died.
    FileEnded { file: String, message: Option<String> },
    /// One has come to its next part.
    Phase { id: String, phase: String },
    /// One waits for others, and its time does not run.
    Paused { id: String },
    /// More about one that has ended, from a report that came later.
    Detail { id: String, message: Option<String>, output: String, reason: Option<String>, duration: Option<f64> },
    /// Something outside any test went wrong.
    Error {
        message: String,
        file: Option<String>,
        /// The test that ran then.
        #[serde(default)]
        id: Option<String>,
    },
    /// A process died, and with it tests that were not listed.
    CutOff,
    /// It died in the middle of one of these, and which of them it was is not known.
    Died { ids: Vec<String> },
    /// The runner came to its end, after so many tests where it says so.
    Finished {
        #[serde(default)]
        tests: Option<usize>,
    },
    /// What a later reporter may say.
    #[serde(other)]
    Other,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) known: Known,
    pub(super) started: Option<Instant>,
    pub(super) phase: Option<String>,
    /// Its process died, with other tests in it.
    undecided: bool,
    /// What was said of the end of its process.
    death: Option<String>,
    pub(super) ended: Option<Ended>,
}

impl Entry {
    fn is_running(&self) -> bool {
        self.started.is_some() && self.ended.is_none() && !self.undecided
    }
}

/// One round's tests.
#[derive(Debug, Default)]
pub(super) struct Tally {
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
    kept: usize,
    /// Files that were begun, and whether they were ended.
    pub(super) files: Vec<(String, bool)>,
    broken: Vec<String>,
    /// What went wrong outside any test.
    pub(super) errors: Vec<String>,
    pub(super) finished: bool,
    /// How many ends the runners of this round say they told (a command may start several), and how many came.
    counted: Option<usize>,
    ends: usize,
    /// Whether there may be tests that were neither listed nor run.
    pub(super) cut_off: bool,
    /// What is wrong with the report itself.
    pub(super) faults: Vec<String>,
}

/// The beginning of a text, whole characters.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The end of a text, whole characters, with a mark where it was cut.
pub(super) fn ending(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let at = text.ceil_char_boundary(text.len() - most);
    format!("[{at} bytes cut]\n{}", &text[at..])
}

impl Tally {
    /// Takes in what a runner says.
    pub(super) fn see(&mut self, seen: Seen, now: Instant) {
        match seen {
            Seen::Listed { tests } => {
                for test in tests {
                    self.entry(test);
                }
            }
            Seen::Started { test } => {
                if let Some(entry) = self.entry(test) {
                    entry.started.get_or_insert(now);
                }
            }
            Seen::Ended { test, end } => self.end(test, end),
            Seen::FileStarted { file } if self.files.len() < MOST_TESTS => self.files.push((file, false)),
            Seen::FileStarted { .. } => self.fault(format!("the report has more than {MOST_TESTS} files")),
            Seen::FileEnded { file, message } => self.end_of_file(&file, message),
            Seen::Error { message, id: Some(id), .. } if self.places.contains_key(&id) => {
                let entry = &mut self.entries[self.places[&id]];
                entry.death.get_or_insert_with(|| beginning(&message, MOST_OUTPUT).to_owned());
            }
            Seen::Error { message, file, .. } => {
                if self.errors.len() < 100 {
                    let message = beginning(&message, MOST_OUTPUT);
                    self.errors.push(file.map_or_else(|| message.to_owned(), |file| format!("{file}: {message}")));
                }
            }
            Seen::Phase { id, phase } => {
                if let Some(place) = self.places.get(&id).copied() {
                    self.entries[place].phase = Some(beginning(&phase, 100).to_owned());
                }
            }
            Seen::Detail { id, message, output, reason, duration } => {
                let end = self.places.get(&id).and_then(|place| self.entries[*place].ended.as_mut());
                if let Some(end) = end {
                    let bad = !matches!(end.status, Outcome::Passed | Outcome::Skipped);
                    end.duration = duration.filter(|seconds| seconds.is_finite() && *seconds >= 0.0).or(end.duration);
                    let cut = |text: String| beginning(&text, MOST_OUTPUT).to_owned();
                    end.reason = end.reason.take().or(reason.map(cut));
                    if bad {
                        end.message = end.message.take().or(message.map(cut));
                        end.output = ending(&output, MOST_OUTPUT);
                    }
                }
            }
            Seen::Paused { id } => {
                if let Some(place) = self.places.get(&id).copied() {
                    self.entries[place].started = None;
                }
            }
            Seen::CutOff => self.cut_off = true,
            Seen::Died { ids } => {
                for id in ids {
                    if let Some(place) = self.places.get(&id).copied() {
                        self.entries[place].undecided = self.entries[place].ended.is_none();
                    }
                }
            }
            Seen::Finished { tests } => {
                self.finished = true;
                self.counted = match (self.counted, tests) {
                    (before, Some(tests)) => Some(before.unwrap_or_default() + tests),
                    (before, None) => before,
                };
            }
            Seen::Other => {}
        }
    }
    /// The round is over: what was told and what came have to agree.
    pub(super) fn close(&mut self) {
        if let Some(told) = self.counted.filter(|told| *told != self.ends) {
            let ends = self.ends;
            self.fault(format!("the report is cut off: it has {ends} of the {told} verdicts that were written"));
        }
    }
    /// The process of a file is over: a test that still runs in it died with it.
    fn end_of_file(&mut self, file: &str, message: Option<String>) {
        match self.files.iter_mut().find(|(name, _)| *name == file) {
            Some((_, ended)) => *ended = true,
            None => self.files.push((file.to_owned(), true)),
        }
        let running = |entry: &&mut Entry| {
            entry.started.is_some() && entry.ended.is_none() && entry.known.file.as_deref() == Some(file)
        };
        let mut dead: Vec<&mut Entry> = self.entries.iter_mut().filter(running).collect();
        // A test and its parts run at once.
        dead.sort_by_key(|entry| entry.known.id.len());
        let inside = |inner: &Entry, outer: &Entry| {
            inner.known.id.strip_prefix(outer.known.id.as_str()).is_some_and(|rest| rest.starts_with(" > "))
        };
        let one = dead.windows(2).all(|pair| inside(pair[1], pair[0]));
        match message {
            None if dead.is_empty() => return,
            Some(message) if dead.is_empty() => {
                return self.errors.push(format!("{file}: {}", beginning(&message, MOST_OUTPUT)));
            }
            // Any of them may have done it.
            _ if !one => dead.iter_mut().for_each(|entry| entry.undecided = true),
            message => {
                let death = dead.iter_mut().find_map(|entry| entry.death.take());
                let said = death.or_else(|| message.as_deref()?.lines().next().map(str::to_owned));
                let said = said.unwrap_or_else(|| "its process ended in the middle of it".into());
                for entry in dead {
                    entry.ended = Some(Ended {
                        status: Outcome::Crashed,
                        duration: None,
                        message: Some(said.clone()),
                        output: ending(message.as_deref().unwrap_or_default(), MOST_OUTPUT),
                        reason: None,
                        revised: false,
                        attempts: 0,
                    });
                }
            }
        }
        self.cut_off = true;
        self.broken.push(file.to_owned());
    }
    /// Files whose process died or was ended in the middle of a test.
    pub(super) fn broken_files(&self) -> impl Iterator<Item = &str> {
        let open = self.files.iter().filter(|(_, ended)| !ended).map(|(file, _)| file.as_str());
        self.broken.iter().map(String::as_str).chain(open)
    }
    fn end(&mut self, test: Known, mut end: Ended) {
        self.ends += 1;
        end.duration = end.duration.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        end.message = end.message.map(|message| beginning(&message, MOST_OUTPUT).to_owned());
        end.reason = end.reason.map(|reason| beginning(&reason, MOST_OUTPUT).to_owned());
        end.output = ending(&end.output, MOST_OUTPUT);
        if self.kept + end.output.len() > MOST_OUTPUTS {
            end.output = "[not kept: the tests of this run print too much]".into();
        }
        self.kept += end.output.len();
        let Some(entry) = self.entry(test) else { return };
        match &entry.ended {
            Some(_) if end.revised || end.attempts > 1 => entry.ended = Some(end),
            // Two tests of one name, or a report that contradicts itself: the worse counts.
            Some(before) if matches!(before.status, Outcome::Passed | Outcome::Skipped) => entry.ended = Some(end),
            Some(_) => {}
            None => entry.ended = Some(end),
        }
    }
    fn entry(&mut self, mut known: Known) -> Option<&mut Entry> {
        if let Some(place) = self.places.get(&known.id) {
            let entry = self.entries.get_mut(*place)?;
            // Later tellings may know more.
            entry.known.file = entry.known.file.take().or(known.file);
            entry.known.line = entry.known.line.or(known.line);
            entry.known.suite = entry.known.suite.take().or(known.suite);
            return Some(entry);
        }
        if known.id.is_empty() || known.id.len() > MOST_NAME {
            self.fault("the report has a test without a name, or with one of more than 8 KiB".into());
            return None;
        }
        if self.entries.len() >= MOST_TESTS {
            self.fault(format!("the report has more than {MOST_TESTS} tests"));
            return None;
        }
        if known.name.is_empty() {
            known.name.clone_from(&known.id);
        }
        for text in [Some(&mut known.name), known.suite.as_mut(), known.file.as_mut()].into_iter().flatten() {
            text.truncate(text.floor_char_boundary(MOST_NAME));
        }
        self.places.insert(known.id.clone(), self.entries.len());
        self.entries.push(Entry { known, started: None, phase: None, undecided: false, death: None, ended: None });
        self.entries.last_mut()
    }
    /// Notes what is wrong with the report, once.
    pub(super) fn fault(&mut self, fault: String) {
        if self.faults.len() < 20 && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
    pub(super) fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(*self.places.get(id)?)
    }
    /// Tests that have begun and not ended.
    pub(super) fn running(&self) -> impl Iterator<Item = &Known> {
        self.entries.iter().filter(|entry| entry.is_running()).map(|entry| &entry.known)
    }
    /// Tests whose process died with others in it.
    pub(super) fn undecided(&self) -> impl Iterator<Item = &Known> {
        let undecided = self.entries.iter().filter(|entry| entry.undecided && entry.ended.is_none());
        undecided.map(|entry| &entry.known)
    }
    /// Those of them that have run for longer than that.
    pub(super) fn overdue(&self, most: Duration, now: Instant) -> Vec<Known> {
        let late = |entry: &&Entry| {
            entry.is_running() && entry.started.is_some_and(|started| now.duration_since(started) > most)
        };
        self.entries.iter().filter(late).map(|entry| entry.known.clone()).collect()
    }
    /// Tests that were listed and have not ended.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = &Known> {
        self.entries.iter().filter(|entry| entry.ended.is_none()).map(|entry| &entry.known)
    }
}
