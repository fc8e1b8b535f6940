//! The calling thread while the engine works: it answers signals and runs what is Python's.
//!
//! The engine runs on a thread of its own, the interpreter released. Whatever needs the caller (a tool written in
//! Python, a callback, a question) is left at the caller's *desk* and waited for. So a tool may use what belongs to
//! the caller's thread, and Ctrl-C reaches Python's handler within [`TICK`], in the engine and in a tool.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentic_executor::Cancel;
use pyo3::prelude::*;

use crate::errors;
use crate::process::Process;

/// How often the main thread looks for signals.
const TICK: Duration = Duration::from_millis(20);

type Errand = Box<dyn FnOnce(Python<'_>) + Send>;

enum Message {
    Errand(Errand),
    Done,
}

/// Where the engine leaves what the calling thread is to do.
#[derive(Clone)]
pub(crate) struct Desk {
    messages: Sender<Message>,
    shared: Arc<Shared>,
}

/// What ends the work before its time.
struct Shared {
    raised: Mutex<Option<PyErr>>,
    cancel: Cancel,
}

impl Shared {
    /// The first exception counts; the work is asked to end.
    fn raise(&self, error: PyErr) {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.cancel.cancel();
    }
    fn is_over(&self) -> bool {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

thread_local! {
    static HERE: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

impl Desk {
    /// The desk of the work that this thread does, when it is the thread that does it step by step.
    pub(crate) fn here() -> Option<Self> {
        HERE.with_borrow(Clone::clone)
    }
    /// Has the calling thread do something, and waits for it. `None` when the work is being ended.
    pub(crate) fn ask<R: Send + 'static>(&self, what: impl FnOnce(Python<'_>) -> R + Send + 'static) -> Option<R> {
        let (answer, answered) = mpsc::channel();
        let errand: Errand = Box::new(move |py| {
            // The other side waits as long as this closure lives.
            let _waited_for = answer.send(what(py));
        });
        self.messages.send(Message::Errand(errand)).ok()?;
        answered.recv().ok()
    }
    /// Ends the work; the calling thread raises this.
    pub(crate) fn raise(&self, error: PyErr) {
        self.shared.raise(error);
    }
    /// The same for a callback's answer; its own is passed on.
    pub(crate) fn taken<R>(&self, answer: Option<PyResult<R>>) -> Option<R> {
        match answer? {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.raise(error);
                None
            }
        }
    }
}

/// Does `work` on a thread of its own while this one serves it. An exception that a signal handler or a callback
/// raised ends the work by `cancel` and is raised when it has ended.
pub(crate) fn serve<T: Send>(py: Python<'_>, cancel: &Cancel, work: impl FnOnce(&Desk) -> T + Send) -> PyResult<T> {
    let main = rustix::thread::gettid() == rustix::process::getpid();
    let call = if main { None } else { Process::current().begin(cancel) };
    if !main && call.is_none() {
        return Err(errors::ending(py));
    }
    let shared = Arc::new(Shared { raised: Mutex::new(None), cancel: cancel.clone() });
    let (messages, inbox) = mpsc::channel();
    let desk = Desk { messages: messages.clone(), shared: Arc::clone(&shared) };
    let outcome = py.detach(|| {
        std::thread::scope(|scope| {
            let named = std::thread::Builder::new().name("agentic".into());
            let worker = named.spawn_scoped(scope, move || {
                HERE.set(Some(desk.clone()));
                let outcome = catch_unwind(AssertUnwindSafe(|| work(&desk)));
                HERE.set(None);
                // The receiver lives as long as this scope.
                let _received = messages.send(Message::Done);
                outcome.unwrap_or_else(|panic| resume_unwind(panic))
            })?;
            attend(&inbox, &shared, main);
            // Requests that nobody will serve must not be waited for.
            drop(inbox);
            Ok(worker.join())
        })
    });
    let raised = shared.raised.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (raised, outcome) {
        (Some(error), _) => Err(error),
        (None, Ok(Ok(result))) => Ok(result),
        (None, Ok(Err(panic))) => Err(errors::fault(py, &*panic)),
        (None, Err(error)) => {
            let error: std::io::Error = error;
            Err(errors::unavailable(py, format!("failed to start a thread: {error}")))
        }
    }
}

fn attend(inbox: &Receiver<Message>, shared: &Shared, main: bool) {
    loop {
        let message = if main { inbox.recv_timeout(TICK) } else { inbox.recv().map_err(Into::into) };
        match message {
            Ok(Message::Done) | Err(RecvTimeoutError::Disconnected) => return,
            // Once it is being ended nothing further is started: dropping the errand says so to who waits for it.
            Ok(Message::Errand(_)) if shared.is_over() => {}
            Ok(Message::Errand(errand)) => Python::attach(errand),
            Err(RecvTimeoutError::Timeout) => {
                if !shared.is_over()
                    && let Err(error) = Python::attach(|py| py.check_signals())
                {
                    shared.raise(error);
                }
            }
        }
    }
}
