//! Searching many files at once, with the answer of one after the other.
//!
//! One thread walks and numbers the files, some search them, and the calling thread puts the outcomes back in
//! order and stops everybody when enough was found. So the answer does not depend on who was faster.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::file::{FileSearcher, Outcome};
use super::{MOST_OUTPUT, OutputMode, Query};
use crate::tools::ToolResult;
use crate::tools::place::Place;
use crate::tools::walk::{Stop, walk};
use crate::workspace::FileKind;

/// Files handed over at a time: few, so that a search that ends early has done little for nothing.
const BATCH: usize = 32;
/// More threads than this wait for the disk or the walker.
const MOST_THREADS: usize = 8;

/// The answer.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) output: String,
    pub(super) matches: u64,
    pub(super) files_searched: u64,
    pub(super) files: Vec<String>,
    pub(super) truncated: bool,
    pub(super) binary: u64,
    pub(super) unreadable: u64,
}

struct Task {
    start: usize,
    rel: PathBuf,
    shown: PathBuf,
}

struct Batch<T> {
    number: u64,
    items: Vec<T>,
}

struct Done {
    shown: PathBuf,
    /// `None`: it could not be opened or read.
    outcome: Option<Outcome>,
}

/// Searches the files under `starts`.
pub(super) fn search(starts: &[Place<'_>], query: &Query, stop: &Stop<'_>) -> Result<Found, ToolResult> {
    let threads = thread::available_parallelism().map_or(2, usize::from).min(MOST_THREADS);
    let (to_workers, tasks) = mpsc::sync_channel::<Batch<Task>>(threads * 4);
    let (to_us, outcomes) = mpsc::channel::<Batch<Done>>();
    let tasks = Mutex::new(tasks);
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let (tasks, enough) = (&tasks, &enough);
        let walker = scope.spawn(move || enumerate(starts, query, stop, enough, to_workers));
        for _ in 0..threads {
            let to_us = to_us.clone();
            scope.spawn(move || work(starts, query, enough, tasks, &to_us));
        }
        drop(to_us);
        let mut found = collect(query, enough, &outcomes);
        // Nobody may wait for a place in a channel that is read no more.
        enough.store(true, Ordering::Relaxed);
        drop(outcomes);
        let walked = walker.join();
        match walked {
            Ok(walked) => found.unreadable += walked?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        match stop.reason("Search") {
            Some(reason) if !found.truncated => Err(reason.with("matches", found.matches).with("files", found.files)),
            _ => Ok(found),
        }
    })
}

fn enumerate(
    starts: &[Place<'_>],
    query: &Query,
    stop: &Stop<'_>,
    enough: &AtomicBool,
    to_workers: SyncSender<Batch<Task>>,
) -> Result<u64, ToolResult> {
    let mut unreadable = 0;
    let mut number = 0;
    let mut items = Vec::with_capacity(BATCH);
    let mut send = |items: &mut Vec<Task>| {
        let batch = Batch { number, items: std::mem::replace(items, Vec::with_capacity(BATCH)) };
        number += 1;
        // An error means that the workers have gone, which they do when enough was found.
        to_workers.send(batch).is_ok() && !enough.load(Ordering::Relaxed) && stop.reason("Search").is_none()
    };
    for (start, place) in starts.iter().enumerate() {
        if place.metadata().is_ok_and(|metadata| metadata.kind == FileKind::File) {
            items.push(Task { start, rel: place.rel.clone(), shown: place.shown.clone() });
            continue;
        }
        let mut going = true;
        unreadable += walk(place, query.filter, &mut |below, kind| {
            if kind == FileKind::File && query.glob.as_ref().is_none_or(|glob| glob.matches(below)) {
                items.push(Task { start, rel: place.rel.join(below), shown: place.join(below) });
                // A first small batch gets the others to work.
                if items.len() == BATCH {
                    going = send(&mut items);
                }
            }
            if going { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if !going {
            return Ok(unreadable);
        }
    }
    send(&mut items);
    Ok(unreadable)
}

fn work(
    starts: &[Place<'_>],
    query: &Query,
    enough: &AtomicBool,
    tasks: &Mutex<Receiver<Batch<Task>>>,
    to_us: &Sender<Batch<Done>>,
) {
    let mut searcher = FileSearcher::new(query);
    loop {
        let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = next else { return };
        // When enough was found the rest is only taken out of the channel, so that the walker is not left waiting.
        if enough.load(Ordering::Relaxed) {
            continue;
        }
        let items = batch.items.into_iter().map(|task| {
            let file = starts[task.start].dir.open_read(&task.rel);
            let outcome = file.and_then(|file| searcher.search(file, &task.shown)).ok();
            Done { shown: task.shown, outcome }
        });
        let done = Batch { number: batch.number, items: items.collect() };
        if to_us.send(done).is_err() {
            enough.store(true, Ordering::Relaxed);
        }
    }
}

/// Takes the outcomes in the order of the files, until there are enough.
fn collect(query: &Query, enough: &AtomicBool, outcomes: &Receiver<Batch<Done>>) -> Found {
    let mut found = Found::default();
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    for batch in outcomes {
        waiting.insert(batch.number, batch.items);
        while let Some(items) = waiting.remove(&next) {
            next += 1;
            for done in items {
                if !found.add(query, done) {
                    found.truncated = true;
                    enough.store(true, Ordering::Relaxed);
                    return found;
                }
            }
        }
    }
    found
}

impl Found {
    /// Adds a file's outcome; false when it is more than was asked for.
    fn add(&mut self, query: &Query, done: Done) -> bool {
        let Some(outcome) = done.outcome else {
            self.unreadable += 1;
            return true;
        };
        if outcome.binary {
            self.binary += 1;
            return true;
        }
        if outcome.matches == 0 {
            self.files_searched += 1;
            return true;
        }
        let shown = done.shown.display().to_string();
        if query.mode == OutputMode::Lines {
            let room = query.most - self.matches;
            if room == 0 {
                return false;
            }
            let taken = outcome.matches.min(room);
            for line in outcome.lines.iter().take(usize::try_from(taken).unwrap_or(usize::MAX)) {
                self.print(line);
            }
            self.matches += taken;
            self.files_searched += 1;
            self.files.push(shown);
            return !outcome.more && taken == outcome.matches;
        }
        if self.files.len() as u64 == query.most {
            return false;
        }
        let line = if query.mode == OutputMode::Count {
            format!("{shown}:{}\n", outcome.matches)
        } else {
            format!("{shown}\n")
        };
        self.print(&line);
        self.matches += outcome.matches;
        self.files_searched += 1;
        self.files.push(shown);
        true
    }

    fn print(&mut self, text: &str) {
        if self.output.len() + text.len() <= MOST_OUTPUT {
            self.output.push_str(text);
        } else {
            self.truncated = true;
        }
    }
}
