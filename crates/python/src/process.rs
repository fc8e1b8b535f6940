//! What all calls of one process share: the sandbox with its spawner, and for each state folder the workspaces and
//! the journal. A forked child has none of it: it makes its own, and the parent's is left alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use agentic_executor::Journal;
use agentic_executor::executor::ExecutorError;
use agentic_executor::sandbox::{Sandbox, Spawner};
use agentic_executor::workspace::Workspaces;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The spawner's program, built by the build script and carried by this module.
static SPAWNER: &[u8] = include_bytes!(env!("AGENTIC_SPAWNER_IMAGE"));

/// How often this process's memory was forked off another's.
static GENERATION: AtomicU64 = AtomicU64::new(0);
static FIRST: OnceLock<Process> = OnceLock::new();

/// What the calls of one process share.
pub(crate) struct Process {
    generation: u64,
    sandbox: OnceLock<Sandbox>,
    states: Mutex<HashMap<PathBuf, State>>,
    /// That of a process forked off this one. A chain, because what was locked at the fork stays locked for ever.
    next: OnceLock<Box<Process>>,
}

/// What belongs to a state folder.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) workspaces: Workspaces,
    journal: Arc<OnceLock<Arc<Journal>>>,
}

impl Process {
    fn new(generation: u64) -> Self {
        Self { generation, sandbox: OnceLock::new(), states: Mutex::default(), next: OnceLock::new() }
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
            // A folder that was removed since is made again.
            Entry::Occupied(known) if folder.is_dir() => Ok(known.get().clone()),
            entry => {
                let workspaces = Workspaces::new(folder, sandbox)?;
                let state = State { workspaces, journal: Arc::default() };
                Ok(entry.insert_entry(state).get().clone())
            }
        }
    }
}

impl State {
    /// The journal on the disk, opened once.
    pub(crate) fn journal(&self, folder: &Path) -> Result<Arc<Journal>, ExecutorError> {
        if let Some(journal) = self.journal.get() {
            return Ok(Arc::clone(journal));
        }
        let opened = Arc::new(Journal::open(&folder.join("journal.sqlite3"))?);
        Ok(Arc::clone(self.journal.get_or_init(|| opened)))
    }
}

/// The spawner that this module carries.
pub(crate) fn spawner() -> Spawner {
    Spawner::Embedded(SPAWNER)
}

#[pyfunction]
fn after_fork() {
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

/// Has Python tell us of its forks.
pub(crate) fn forget_after_fork(py: Python<'_>) -> PyResult<()> {
    let hook = PyDict::new(py);
    hook.set_item("after_in_child", wrap_pyfunction!(after_fork, py)?)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&hook)).map(drop)
}
