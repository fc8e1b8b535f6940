//! Appending. Events queue in order; whoever needs one on the disk writes all that wait, in one transaction.
//!
//! After a write has failed nothing more is written: a journal with a hole would lie about what came first.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use rustix::fs::Access;

use super::{Event, EventBody, Journal, JournalError, fork, lock, reader, schema};

/// Events that may wait for a durable one.
const MOST_WAITING: usize = 256;
/// Their bytes.
const MOST_WAITING_BYTES: usize = 1 << 20;
/// How long another process may hold the journal.
const PATIENCE: Duration = Duration::from_secs(10);

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    rows: Vec<Row>,
    bytes: usize,
    queued: u64,
}

/// The database, and how far it has come.
#[derive(Debug)]
pub(super) struct Disk {
    connection: Option<Connection>,
    written: u64,
    broken: Option<String>,
    read_only: Option<&'static str>,
}

#[derive(Debug)]
struct Row {
    /// Whether somebody waits until it is on the disk.
    durable: bool,
    run: String,
    sequence: i64,
    time: String,
    version: u16,
    kind: &'static str,
    body: String,
    projection: Projection,
}

/// What an event changes in the tables that summarise.
#[derive(Debug)]
enum Projection {
    None,
    Run { task: String, mode: String, workspace: String, steps: i64 },
    Steps(i64),
    Step { step: String, tool: String, description: String },
    StepEnd { step: String, status: &'static str, attempts: u32, error: Option<String> },
    RunEnd { stop_reason: String, error: Option<String> },
    Resumed { mode: String, steps: i64, again: Vec<String> },
}

impl Disk {
    pub(super) fn new(connection: Option<Connection>) -> Self {
        Self { connection, written: 0, broken: None, read_only: None }
    }
    pub(super) fn refuse(&mut self, reason: &'static str) {
        self.read_only = Some(reason);
    }
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }
    /// Closes a file; what is in memory only would be lost.
    pub(super) fn close(&mut self) {
        self.connection = None;
    }
    pub(super) fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }
}

/// Opens or makes the database file, private to its owner.
pub(super) fn open_file(path: &Path) -> Result<Connection, JournalError> {
    let create = |source| JournalError::Create { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(create)?;
    }
    // One that is there is not opened by us: closing it would take away the locks that another connection of this
    // process has on it (fcntl(2)).
    let made = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK).map_err(io::Error::from)
        }
        other => other.map(drop),
    };
    made.map_err(|source| match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied if path.exists() => {
            JournalError::NotWritable { place: path.display().to_string(), reason: source.to_string() }
        }
        _ => create(source),
    })?;
    let database = |action, source| JournalError::Database { action, place: path.display().to_string(), source };
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    )
    .or_else(|_| Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX))
    .map_err(|source| database("open", source))?;
    connection.busy_timeout(PATIENCE).map_err(|source| database("open", source))?;
    let not_writable = |reason: String| JournalError::NotWritable { place: path.display().to_string(), reason };
    if connection.is_readonly("main").map_err(|source| database("open", source))? {
        return Err(not_writable("the file or its disk is read-only".into()));
    }
    match prepare_file(&mut connection) {
        Ok(()) => Ok(connection),
        Err(rusqlite_migration::Error::RusqliteError { err, .. }) => Err(database("prepare", err)),
        Err(error) => Err(not_writable(format!("its tables are of a later version ({error}); use that version"))),
    }
}

/// Prepares a file that others may be preparing at the same time: of those who change a new one to a write-ahead log some
/// are told at once that it is busy, and of those who see no tables all but one then find them made.
fn prepare_file(connection: &mut Connection) -> Result<(), rusqlite_migration::Error> {
    let end = Instant::now() + PATIENCE;
    let mut again = false;
    loop {
        let prepared = prepare(connection, true).map_err(Into::into);
        match prepared.and_then(|()| schema::migrations().to_latest(connection)) {
            Err(rusqlite_migration::Error::RusqliteError { err, .. })
                if err.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < end =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(rusqlite_migration::Error::RusqliteError { .. }) if !again => again = true,
            other => return other,
        }
    }
}

fn prepare(connection: &mut Connection, file: bool) -> rusqlite::Result<()> {
    if file {
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
    }
    connection.set_prepared_statement_cache_capacity(16);
    Ok(())
}

impl Journal {
    /// Adds an event. One that [`EventBody::is_durable`] is on the disk when this returns, with everything
    /// appended before it, and one that [`EventBody::is_written`] outlives this process; [`EventBody::CallOutput`] is
    /// never kept.
    ///
    /// # Errors
    /// [`JournalError::Database`] for the write that failed, [`JournalError::Broken`] ever after.
    pub fn append(&self, event: &Event) -> Result<(), JournalError> {
        let place = self.enqueue(event)?;
        if event.body.is_written() { self.wait(place) } else { Ok(()) }
    }

    /// Adds an event without waiting; [`Self::wait`] with the number returned does.
    pub(crate) fn enqueue(&self, event: &Event) -> Result<u64, JournalError> {
        if !event.body.is_journaled() {
            return Ok(0);
        }
        let row = row(event)?;
        let (queued, full) = {
            let mut queue = lock(&self.queue);
            queue.bytes += row.body.len();
            queue.rows.push(row);
            queue.queued += 1;
            (queue.queued, queue.rows.len() >= MOST_WAITING || queue.bytes >= MOST_WAITING_BYTES)
        };
        if full {
            self.write(queued)?;
        }
        Ok(queued)
    }

    /// Returns when the event of that number and all before it are written, and on the disk as far as they are durable.
    pub(crate) fn wait(&self, queued: u64) -> Result<(), JournalError> {
        // A journal in memory promises nothing to the disk: its events may wait until they are read.
        if matches!(self.place, super::Place::Memory) { Ok(()) } else { self.write(queued) }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn flush(&self) -> Result<(), JournalError> {
        let queued = lock(&self.queue).queued;
        self.write(queued)
    }

    fn write(&self, queued: u64) -> Result<(), JournalError> {
        let _in_use = fork::in_use();
        self.write_in_use(&mut lock(&self.disk), queued)
    }

    fn write_in_use(&self, disk: &mut Disk, queued: u64) -> Result<(), JournalError> {
        if disk.written >= queued {
            return Ok(());
        }
        if let Some(reason) = disk.read_only {
            return Err(JournalError::NotWritable { place: self.place.to_string(), reason: reason.into() });
        }
        if let Some(reason) = &disk.broken {
            return Err(JournalError::Broken { place: self.place.to_string(), reason: reason.clone() });
        }
        // Before the rows are taken, which must not be lost.
        self.connected(disk)?;
        let (rows, written) = {
            let mut queue = lock(&self.queue);
            queue.bytes = 0;
            (std::mem::take(&mut queue.rows), queue.queued)
        };
        match commit(self.connected(disk)?, &rows) {
            Ok(()) => {
                disk.written = written;
                Ok(())
            }
            Err(source) => {
                disk.broken = Some(source.to_string());
                Err(self.database("write to", source))
            }
        }
    }

    /// Writes what waits and opens what is closed, so that it can be read.
    pub(super) fn make_readable(&self, disk: &mut Disk) -> Result<(), JournalError> {
        self.connected(disk)?;
        let queued = lock(&self.queue).queued;
        self.write_in_use(disk, queued)
    }

    /// The database, opened when it is not: one in memory is made when it is needed, a file was closed for a fork.
    fn connected<'d>(&self, disk: &'d mut Disk) -> Result<&'d mut Connection, JournalError> {
        let opened = match (&self.place, disk.connection.take(), disk.read_only) {
            (_, Some(open), _) => open,
            (super::Place::Memory, None, _) => open_memory().map_err(|source| self.database("open", source))?,
            (super::Place::File(path), None, None) => open_file(path)?,
            (super::Place::File(path), None, Some(_)) => reader::open_file(path)?,
        };
        Ok(disk.connection.insert(opened))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if matches!(self.place, super::Place::File(_)) {
            // Nothing durable is lost when this fails, and there is nobody left to tell.
            self.flush().ok();
        }
    }
}

fn open_memory() -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    prepare(&mut connection, false)?;
    match schema::migrations().to_latest(&mut connection) {
        Err(rusqlite_migration::Error::RusqliteError { err, .. }) => Err(err),
        _ => Ok(connection),
    }
}

/// Writes rows in one transaction, which is synced when one of them is durable. So whatever was written before a durable row
/// is on the disk with it, since a sync is of the whole write-ahead log.
fn commit(connection: &mut Connection, rows: &[Row]) -> rusqlite::Result<()> {
    let synchronous = if rows.iter().any(|row| row.durable) { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for row in rows {
        transaction
            .prepare_cached("INSERT INTO events (run, sequence, time, version, kind, body) VALUES (?, ?, ?, ?, ?, ?)")?
            .execute(params![row.run, row.sequence, row.time, row.version, row.kind, row.body])?;
        project(&transaction, row)?;
    }
    transaction.commit()
}

fn project(transaction: &rusqlite::Transaction<'_>, row: &Row) -> rusqlite::Result<()> {
    let changed = match &row.projection {
        Projection::None => return Ok(()),
        Projection::Run { task, mode, workspace, steps } => transaction
            .prepare_cached("INSERT INTO runs (run, task, mode, workspace, steps, started) VALUES (?, ?, ?, ?, ?, ?)")?
            .execute(params![row.run, task, mode, workspace, steps, row.time]),
        Projection::Steps(steps) => {
            transaction.prepare_cached("UPDATE runs SET steps = ? WHERE run = ?")?.execute(params![steps, row.run])
        }
        Projection::Step { step, tool, description } => transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO steps (run, step, tool, description, status, started)
                 VALUES (?, ?, ?, ?, 'running', ?)",
            )?
            .execute(params![row.run, step, tool, description, row.time]),
        Projection::StepEnd { step, status, attempts, error } => {
            // A step that had completed fails when what it wrote could not be applied in the end.
            let before: Option<String> = transaction
                .prepare_cached("SELECT status FROM steps WHERE run = ? AND step = ?")?
                .query_row([&row.run, step], |found| found.get(0))
                .optional()?;
            if before.as_deref() == Some("completed") {
                let uncount = "UPDATE runs SET completed = completed - 1 WHERE run = ?";
                transaction.prepare_cached(uncount)?.execute([&row.run])?;
            }
            transaction
                .prepare_cached(
                    "INSERT INTO steps (run, step, tool, description, status, attempts, error, finished)
                     VALUES (?1, ?2, '', '', ?3, ?4, ?5, ?6)
                     ON CONFLICT (run, step) DO UPDATE SET status = ?3, attempts = ?4, error = ?5, finished = ?6",
                )?
                .execute(params![row.run, step, status, attempts, error, row.time])?;
            let count = match *status {
                "completed" => "UPDATE runs SET completed = completed + 1 WHERE run = ?",
                "failed" => "UPDATE runs SET failed = failed + 1 WHERE run = ?",
                _ => "UPDATE runs SET skipped = skipped + 1 WHERE run = ?",
            };
            transaction.prepare_cached(count)?.execute([&row.run])
        }
        Projection::RunEnd { stop_reason, error } => transaction
            .prepare_cached("UPDATE runs SET finished = ?, stop_reason = ?, error = ? WHERE run = ?")?
            .execute(params![row.time, stop_reason, error, row.run]),
        Projection::Resumed { mode, steps, again } => {
            for step in again {
                transaction
                    .prepare_cached("DELETE FROM steps WHERE run = ? AND step = ?")?
                    .execute([&row.run, step])?;
            }
            transaction
                .prepare_cached(
                    "UPDATE runs SET finished = NULL, stop_reason = NULL, error = NULL, mode = ?2, steps = ?3,
                         completed = (SELECT count(*) FROM steps WHERE run = ?1 AND status = 'completed'),
                         failed = (SELECT count(*) FROM steps WHERE run = ?1 AND status = 'failed'),
                         skipped = (SELECT count(*) FROM steps WHERE run = ?1 AND status = 'skipped')
                     WHERE run = ?1",
                )?
                .execute(params![row.run, mode, steps])
        }
    };
    changed.map(drop)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn row(event: &Event) -> Result<Row, JournalError> {
    let kind = event.body.kind();
    let body = serde_json::to_string(&event.body).map_err(|source| JournalError::Encode { kind, source })?;
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let projection = match &event.body {
        EventBody::RunStarted { task, mode, workspace, plan, .. } => Projection::Run {
            task: task.clone(),
            mode: word(serde_json::to_value(mode)),
            workspace: workspace.to_string_lossy().into_owned(),
            steps: number(plan.steps.len() as u64),
        },
        EventBody::RunResumed { mode, plan, again, .. } => Projection::Resumed {
            mode: word(serde_json::to_value(mode)),
            steps: number(plan.steps.len() as u64),
            again: again.iter().map(|step| step.0.clone()).collect(),
        },
        EventBody::PlanChanged { plan, .. } => Projection::Steps(number(plan.steps.len() as u64)),
        EventBody::StepStarted { step, tool, description } => {
            Projection::Step { step: step.0.clone(), tool: tool.clone(), description: description.clone() }
        }
        EventBody::StepFinished { step, status, attempts, error, .. } => Projection::StepEnd {
            step: step.0.clone(),
            status: status.as_str(),
            attempts: *attempts,
            error: error.clone(),
        },
        EventBody::RunFinished { stop_reason, error, .. } => {
            Projection::RunEnd { stop_reason: word(serde_json::to_value(stop_reason)), error: error.clone() }
        }
        _ => Projection::None,
    };
    Ok(Row {
        durable: event.body.is_durable(),
        run: event.run.0.clone(),
        sequence: number(event.sequence),
        time: event.time.to_string(),
        version: event.version,
        kind,
        body,
        projection,
    })
}
