//! Where events are durable: what was intended before each effect, and what came of it after.
//!
//! [`Journal`] is an append-only SQLite database that all runs of a state folder share. An event that
//! promises something ([`EventBody::is_durable`]) is on the disk when [`Journal::append`] returns; the others
//! wait in memory for the next one that is, so that a step costs two syncs however much it says. Threads
//! that wait at the same time share one sync.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

mod error;
mod event;
mod fork;
mod output;
mod reader;
mod schema;
mod writer;

pub use error::JournalError;
pub use event::{EVENT_VERSION, Event, EventBody, OutputRef};
pub use fork::{ClosedForFork, close_for_fork};
pub use output::INLINE;
pub use reader::{RunSummary, StepSummary};

/// An append-only record of runs. Shared by threads; several processes may have the same file open. Not to be used, nor
/// dropped, in a forked child of the process: SQLite's connections do not survive that. The child leaks it and opens
/// its own.
#[derive(Debug)]
pub struct Journal {
    place: Place,
    store: Option<PathBuf>,
    queue: Mutex<writer::Queue>,
    disk: Arc<Mutex<writer::Disk>>,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Memory,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Memory => f.write_str("in memory"),
        }
    }
}

impl Journal {
    /// Opens the journal at `path`, making it and its folder (private) where they are missing. Large outputs
    /// go to `store/` beside it.
    ///
    /// # Errors
    /// [`JournalError::Create`] and [`JournalError::NotWritable`] where it cannot be written, a read-only disk
    /// among them; [`JournalError::NotWritable`] too when a later version has changed its tables.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let _in_use = fork::in_use();
        let connection = writer::open_file(path)?;
        let store = path.parent().map(|folder| folder.join("store"));
        Ok(Self::over(Place::File(path.to_owned()), store, Some(connection)))
    }
    /// Opens the journal at `path` for reading only; nothing is created.
    ///
    /// # Errors
    /// [`JournalError::Database`] when it is not there or is no journal.
    pub fn open_read_only(path: &Path) -> Result<Self, JournalError> {
        let _in_use = fork::in_use();
        let connection = reader::open_file(path)?;
        let store = path.parent().map(|folder| folder.join("store"));
        let journal = Self::over(Place::File(path.to_owned()), store, Some(connection));
        lock(&journal.disk).refuse("it was opened for reading only");
        Ok(journal)
    }
    /// A journal that ends with the process, for calls that belong to no run. Its database is made at the
    /// first reading, or when many events wait.
    ///
    /// # Errors
    /// None at present.
    pub fn in_memory() -> Result<Self, JournalError> {
        Ok(Self::over(Place::Memory, None, None))
    }
    fn over(place: Place, store: Option<PathBuf>, connection: Option<rusqlite::Connection>) -> Self {
        let disk = Arc::new(Mutex::new(writer::Disk::new(connection)));
        if matches!(place, Place::File(_)) {
            fork::register(&disk);
        }
        Self { place, store, queue: Mutex::default(), disk }
    }
    /// Where it lies; `None` for one in memory.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Memory => None,
        }
    }
    /// Whether a write has failed, so that nothing more is recorded here. Opened again, it can be written on.
    pub fn is_broken(&self) -> bool {
        lock(&self.disk).is_broken()
    }
    /// What an event says about `output`: the value itself up to 16 KiB, else where it was put.
    ///
    /// # Errors
    /// [`JournalError::Output`] when the store cannot be written.
    pub fn keep(&self, output: &Value) -> Result<OutputRef, JournalError> {
        output::keep(self.store.as_deref(), output)
    }
    /// The same for each member of a result's metadata.
    ///
    /// # Errors
    /// As [`Self::keep`].
    pub fn keep_members(&self, members: &Map<String, Value>) -> Result<Map<String, Value>, JournalError> {
        output::keep_members(self.store.as_deref(), members)
    }
    /// A member of a result's metadata, as [`Self::keep_members`] left it in an event.
    ///
    /// # Errors
    /// When it is kept beside the journal and cannot be read.
    pub fn member(&self, kept: &Value) -> Result<Value, JournalError> {
        let Some(stored) = kept.get("$stored") else { return Ok(kept.clone()) };
        let hash = stored["hash"].as_str().unwrap_or_default().to_owned();
        let size = stored["size"].as_u64().unwrap_or_default();
        let json = stored["json"].as_bool().unwrap_or_default();
        self.output(&OutputRef::Stored { hash, size, head: String::new(), json })
    }
    /// The value that an event refers to, whole.
    ///
    /// # Errors
    /// [`JournalError::Output`] when it is not in the store or was changed there.
    pub fn output(&self, output: &OutputRef) -> Result<Value, JournalError> {
        output::load(self.store.as_deref(), output)
    }
    fn database(&self, action: &'static str, source: rusqlite::Error) -> JournalError {
        JournalError::Database { action, place: self.place.to_string(), source }
    }
    fn corrupt(&self, what: impl Into<String>) -> JournalError {
        JournalError::Corrupt { place: self.place.to_string(), what: what.into() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
