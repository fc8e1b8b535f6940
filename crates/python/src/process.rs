//! What all calls of one process share: the sandbox with its spawner, and for each state folder the workspaces and
//! the journal. A forked child has none of it: it makes its own, and the parent's is left alone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use agentic_executor::executor::ExecutorError;
use agentic_executor::journal::{ClosedForFork, close_for_fork};
use agentic_executor::sandbox::{Sandbox, Spawner};
use agentic_executor::workspace::Workspaces;
use agentic_executor::{Cancel, Journal};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The spawner's program, built by the build script and carried by this module.
static SPAWNER: &[u8] = include_bytes!(env!("AGENTIC_SPAWNER_IMAGE"));

/// The network proxy's, likewise.
static PROXY: &[u8] = include_bytes!(env!("AGENTIC_PROXY_IMAGE"));

/// How long the interpreter's end waits for the calls that it cancels.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often this process's memory was forked off another's.
static GENERATION: AtomicU64 = AtomicU64::new(0);
static FIRST: OnceLock<Process> = OnceLock::new();

/// What the calls of one process share.
pub(crate) struct Process {
    generation: u64,
    sandbox: OnceLock<Sandbox>,
    states: Mutex<HashMap<PathBuf, State>>,
    elsewhere: Mutex<Elsewhere>,
    left: Condvar,
    /// That of a process forked off this one. A chain, because what was locked at the fork stays locked for ever.
    next: OnceLock<Box<Process>>,
}

/// What belongs to a state folder.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) workspaces: Workspaces,
    journal: Arc<Mutex<Option<Arc<Journal>>>>,
    /// Device and number of the folder: one that was removed and made again is another.
    identity: Option<(u64, u64)>,
}

/// The calls on other threads than the main one.
#[derive(Default)]
struct Elsewhere {
    calls: HashMap<u64, Cancel>,
    next: u64,
    /// The interpreter ends, so that none is begun any more.
    ending: bool,
}

/// A call on another thread than the main one, until it is over.
pub(crate) struct Call {
    number: u64,
    process: &'static Process,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.process.elsewhere().calls.remove(&self.number);
        self.process.left.notify_all();
    }
}

impl Process {
    fn new(generation: u64) -> Self {
        Self {
            generation,
            sandbox: OnceLock::new(),
            states: Mutex::default(),
            elsewhere: Mutex::default(),
            left: Condvar::new(),
            next: OnceLock::new(),
        }
    }
    fn elsewhere(&self) -> MutexGuard<'_, Elsewhere> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Notes a call on another thread than the main one; `None` when the interpreter is ending.
    pub(crate) fn begin(&'static self, cancel: &Cancel) -> Option<Call> {
        let mut elsewhere = self.elsewhere();
        if elsewhere.ending {
            return None;
        }
        let number = elsewhere.next;
        elsewhere.next += 1;
        elsewhere.calls.insert(number, cancel.clone());
        Some(Call { number, process: self })
    }
    fn end(&self) {
        let calls: Vec<Cancel> = {
            let mut elsewhere = self.elsewhere();
            elsewhere.ending = true;
            elsewhere.calls.values().cloned().collect()
        };
        calls.iter().for_each(Cancel::cancel);
        let waited = self.left.wait_timeout_while(self.elsewhere(), PATIENCE, |elsewhere| !elsewhere.calls.is_empty());
        drop(waited);
    }
    /// That of this process.
    pub(crate) fn current() -> &'static Self {
        let generation = GENERATION.load(Ordering::Relaxed);
        let mut process = FIRST.get_or_init(|| Self::new(generation));
        while process.generation != generation {
            process = process.next.get_or_init(|| Box::new(Self::new(generation)));
        }
        process
    }
    /// The sandbox. Nothing is started before the first run.
    pub(crate) fn sandbox(&self) -> Result<Sandbox, ExecutorError> {
        if let Some(sandbox) = self.sandbox.get() {
            return Ok(sandbox.clone());
        }
        let sandbox = Sandbox::new(spawner())?;
        Ok(self.sandbox.get_or_init(|| sandbox).clone())
    }
    /// What belongs to that state folder, made when it is missing.
    pub(crate) fn state(&self, folder: &Path) -> Result<State, ExecutorError> {
        let sandbox = self.sandbox()?;
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match states.entry(folder.to_owned()) {
            // A folder that was removed since is made again; what is open in the old one goes nowhere.
            Entry::Occupied(known) if known.get().identity.is_some_and(|known| identity(folder) == Some(known)) => {
                Ok(known.get().clone())
            }
            entry => {
                let workspaces = Workspaces::new(folder, sandbox)?;
                let state = State { workspaces, journal: Arc::default(), identity: identity(folder) };
                Ok(entry.insert_entry(state).get().clone())
            }
        }
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    folder.metadata().ok().filter(std::fs::Metadata::is_dir).map(|found| (found.dev(), found.ino()))
}

impl State {
    /// The journal on the disk, opened once; anew where a write has failed, since the disk may have room again.
    pub(crate) fn journal(&self, folder: &Path) -> Result<Arc<Journal>, ExecutorError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = journal.as_ref().filter(|open| !open.is_broken()) {
            return Ok(Arc::clone(open));
        }
        let opened = Arc::new(Journal::open(&folder.join("journal.sqlite3"))?);
        *journal = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

/// The spawner that this module carries.
pub(crate) fn spawner() -> Spawner {
    Spawner::Embedded(SPAWNER)
}

/// The network proxy that this module carries.
pub(crate) fn proxy() -> Spawner {
    Spawner::Embedded(PROXY)
}

thread_local! {
    /// The journals, while this thread forks.
    static CLOSED: RefCell<Option<ClosedForFork>> = const { RefCell::new(None) };
}

#[pyfunction]
fn before_fork(py: Python<'_>) {
    // Another thread that forks needs the interpreter before it lets go.
    py.detach(|| CLOSED.set(Some(close_for_fork())));
}

#[pyfunction]
fn after_fork_in_parent() {
    CLOSED.take();
}

#[pyfunction]
fn after_fork_in_child() {
    CLOSED.take();
    let generation = GENERATION.load(Ordering::Relaxed);
    let mut process = FIRST.get();
    while let Some(parent) = process {
        if parent.generation == generation
            && let Some(sandbox) = parent.sandbox.get()
        {
            sandbox.clone().after_fork();
        }
        process = parent.next.get().map(|next| &**next);
    }
    GENERATION.store(generation + 1, Ordering::Relaxed);
}

/// The interpreter's end takes the threads that still run (daemons) down wherever they come back to it, and before
/// Python 3.14 by unwinding their stacks, which our frames on them turn into an abort. So their calls end before.
#[pyfunction]
fn at_exit(py: Python<'_>) {
    py.detach(|| Process::current().end());
}

/// Has Python tell us of its end.
pub(crate) fn end_with_interpreter(py: Python<'_>) -> PyResult<()> {
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(at_exit, py)?,)).map(drop)
}

/// Has Python tell us of its forks.
pub(crate) fn forget_after_fork(py: Python<'_>) -> PyResult<()> {
    let hook = PyDict::new(py);
    hook.set_item("before", wrap_pyfunction!(before_fork, py)?)?;
    hook.set_item("after_in_parent", wrap_pyfunction!(after_fork_in_parent, py)?)?;
    hook.set_item("after_in_child", wrap_pyfunction!(after_fork_in_child, py)?)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&hook)).map(drop)
}
