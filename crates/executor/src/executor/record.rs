//! One run's history as it grows: numbers its events, hands them to the journal, then to subscribers.
//!
//! Subscribers get events in the order of the journal and a durable event only once it is on the disk.
//! The number is drawn under a lock, the sync waited for outside it, so that parallel steps share syncs.
//! When the journal fails nothing further may have effects: [`Recorder::broken`] says so.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};

use jiff::Timestamp;

use super::{ExecutionStep, lock};
use crate::id::RunId;
use crate::journal::{EVENT_VERSION, Event, EventBody, Journal, JournalError};
use crate::workspace::OnWait;

type OnEvent = dyn Fn(&Event) + Send + Sync;
type OnStep = dyn Fn(&ExecutionStep) + Send + Sync;

/// Those who are told. A panic of theirs ends nothing.
#[derive(Clone, Default)]
pub(super) struct Subscribers {
    pub(super) events: Vec<Arc<OnEvent>>,
    pub(super) steps: Vec<Arc<OnStep>>,
    /// Told of a wait for another process.
    pub(super) on_wait: Option<OnWait>,
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscribers({} of events, {} of steps)", self.events.len(), self.steps.len())
    }
}

impl Subscribers {
    fn tell(&self, event: &Event) {
        for subscriber in &self.events {
            // The panic hook has reported it; the run is not the subscriber's to break.
            catch_unwind(AssertUnwindSafe(|| subscriber(event))).ok();
        }
    }
    pub(super) fn tell_step(&self, step: &ExecutionStep) {
        for subscriber in &self.steps {
            catch_unwind(AssertUnwindSafe(|| subscriber(step))).ok();
        }
    }
}

/// One run's history as it grows.
#[derive(Debug)]
pub(super) struct Recorder {
    run: RunId,
    journal: Arc<Journal>,
    subscribers: Subscribers,
    line: Mutex<Line>,
    telling: Mutex<()>,
    broken: OnceLock<String>,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    untold: VecDeque<Event>,
    /// Events below this sequence are on the disk.
    durable: u64,
}

impl Recorder {
    pub(super) fn new(journal: Arc<Journal>, subscribers: Subscribers) -> Self {
        Self {
            run: RunId::new(),
            journal,
            subscribers,
            line: Mutex::default(),
            telling: Mutex::default(),
            broken: OnceLock::new(),
        }
    }
    /// The same for a run whose first events are in the journal already.
    pub(super) fn of(mut self, run: RunId, next: u64) -> Self {
        self.run = run;
        self.line = Mutex::new(Line { next, durable: next, ..Line::default() });
        self
    }
    pub(super) fn run(&self) -> &RunId {
        &self.run
    }
    pub(super) fn has_subscribers(&self) -> bool {
        !self.subscribers.events.is_empty()
    }
    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }
    /// Why nothing can be recorded any more.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Records what happened; on the disk when this returns, if the event is durable.
    pub(super) fn record(&self, body: EventBody) -> Result<(), JournalError> {
        let recorded = self.append(body);
        if let Err(error) = &recorded {
            self.broken.get_or_init(|| error.to_string());
        }
        self.tell();
        recorded
    }

    fn append(&self, body: EventBody) -> Result<(), JournalError> {
        let written = body.is_written();
        let (sequence, place) = {
            let mut line = lock(&self.line);
            let event = Event {
                version: EVENT_VERSION,
                run: self.run.clone(),
                sequence: line.next,
                time: Timestamp::now(),
                body,
            };
            let place = self.journal.enqueue(&event)?;
            line.next += 1;
            if !self.subscribers.events.is_empty() {
                line.untold.push_back(event);
            }
            (line.next - 1, place)
        };
        if written {
            self.journal.wait(place)?;
            let mut line = lock(&self.line);
            line.durable = line.durable.max(sequence + 1);
        }
        Ok(())
    }

    fn tell(&self) {
        if self.subscribers.events.is_empty() {
            return;
        }
        let _one_at_a_time = lock(&self.telling);
        loop {
            let event = {
                let mut line = lock(&self.line);
                let durable = line.durable;
                let broken = self.broken.get().is_some();
                let ready = line
                    .untold
                    .front()
                    .is_some_and(|event| broken || event.sequence < durable || !event.body.is_durable());
                if !ready {
                    return;
                }
                line.untold.pop_front()
            };
            event.iter().for_each(|event| self.subscribers.tell(event));
        }
    }

    /// Shows something that is not kept. Its sequence is that of the next event.
    pub(super) fn show(&self, body: EventBody) {
        if self.subscribers.events.is_empty() {
            return;
        }
        let _one_at_a_time = lock(&self.telling);
        let sequence = lock(&self.line).next;
        self.subscribers.tell(&Event {
            version: EVENT_VERSION,
            run: self.run.clone(),
            sequence,
            time: Timestamp::now(),
            body,
        });
    }
}
