//! Reading: runs newest first, a run's events in order, and finding a run by a part of its id.
//!
//! What a later version wrote stays readable: an event of a kind that this build does not know arrives as
//! [`EventBody::Unrecognized`], with its fields as they are.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::Value;

use super::{Event, EventBody, Journal, JournalError, fork, lock};
use crate::executor::{ExecutionMode, StopReason};
use crate::id::{RunId, StepId};
use crate::workspace::ContentHash;

/// A run in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// What was asked for.
    pub task: String,
    /// How steps were scheduled.
    pub mode: Option<ExecutionMode>,
    /// The folder it worked in.
    pub workspace: String,
    /// Steps of the plan as it stands.
    pub steps: u64,
    /// Steps that completed.
    pub completed: u64,
    /// Steps that failed.
    pub failed: u64,
    /// Steps that never started.
    pub skipped: u64,
    /// When it began.
    pub started: Timestamp,
    /// When it ended. `None`: it is running, or its process ended first.
    pub finished: Option<Timestamp>,
    /// Why it ended.
    pub stop_reason: Option<StopReason>,
    /// What went wrong.
    pub error: Option<String>,
}

/// A step in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepSummary {
    /// Its id in the plan.
    pub id: StepId,
    /// Its tool.
    pub tool: String,
    /// What it is for.
    pub description: String,
    /// Where it stands: `running`, `completed`, `failed`, `skipped`.
    pub status: String,
    /// Attempts made.
    pub attempts: u32,
    /// What went wrong.
    pub error: Option<String>,
    /// When it became due. `None`: it was skipped.
    pub started: Option<Timestamp>,
    /// When it reached its end.
    pub finished: Option<Timestamp>,
}

const SUMMARY: &str = "SELECT run, task, mode, workspace, steps, completed, failed, skipped, started, finished,
    stop_reason, error FROM runs";

pub(super) fn open_file(path: &Path) -> Result<Connection, JournalError> {
    let database = |source| JournalError::Database { action: "open", place: path.display().to_string(), source };
    let open = |name: &std::ffi::OsStr, flags| {
        let connection = Connection::open_with_flags(name, flags)?;
        match connection.query_row("SELECT count(*) FROM runs", [], |_| Ok(())) {
            Err(error) if !is_unmade(&connection) => Err(error),
            _ => Ok(connection),
        }
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    open(path.as_os_str(), flags).or_else(|first: rusqlite::Error| {
        // On a read-only disk the WAL's shared memory cannot be made; nobody can be writing either.
        let read_only = std::fs::metadata(path).is_ok()
            && std::fs::OpenOptions::new().append(true).open(path).is_err_and(|error| {
                matches!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied)
            });
        let Some(text) = path.to_str().filter(|_| read_only) else { return Err(database(first)) };
        let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let name = format!("file:{escaped}?immutable=1");
        open(name.as_ref(), flags | OpenFlags::SQLITE_OPEN_URI).map_err(|_| database(first))
    })
}

impl Journal {
    /// The runs, newest first, `limit` at most.
    ///
    /// # Errors
    /// [`JournalError::Database`] and [`JournalError::Corrupt`].
    pub fn runs(&self, limit: usize) -> Result<Vec<RunSummary>, JournalError> {
        let sql = format!("{SUMMARY} ORDER BY run DESC LIMIT ?");
        self.query(&sql, params![i64::try_from(limit).unwrap_or(i64::MAX)], |row| self.summary(row))
    }

    /// One run in a line.
    ///
    /// # Errors
    /// [`JournalError::NoSuchRun`], and as [`Self::runs`].
    pub fn run(&self, run: &RunId) -> Result<RunSummary, JournalError> {
        let sql = format!("{SUMMARY} WHERE run = ?");
        let mut found = self.query(&sql, params![run.0], |row| self.summary(row))?;
        found.pop().ok_or_else(|| JournalError::NoSuchRun(run.0.clone()))
    }

    /// The steps of a run that have started or ended, by the time they did.
    ///
    /// # Errors
    /// As [`Self::runs`].
    pub fn steps(&self, run: &RunId) -> Result<Vec<StepSummary>, JournalError> {
        let sql = "SELECT step, tool, description, status, attempts, error, started, finished FROM steps
                   WHERE run = ? ORDER BY coalesce(started, finished), step";
        self.query(sql, params![run.0], |row| {
            Ok(StepSummary {
                id: StepId(self.column(row, 0)?),
                tool: self.column(row, 1)?,
                description: self.column(row, 2)?,
                status: self.column(row, 3)?,
                attempts: self.column(row, 4)?,
                error: self.column(row, 5)?,
                started: self.time(row, 6)?,
                finished: self.time(row, 7)?,
            })
        })
    }

    /// The events of a run, in order.
    ///
    /// # Errors
    /// As [`Self::runs`].
    pub fn events(&self, run: &RunId) -> Result<Vec<Event>, JournalError> {
        self.events_from(run, 0)
    }

    /// The events of a run from a sequence number on, for one who follows it.
    ///
    /// # Errors
    /// As [`Self::runs`].
    pub fn events_from(&self, run: &RunId, sequence: u64) -> Result<Vec<Event>, JournalError> {
        let sql = "SELECT sequence, time, version, kind, body FROM events WHERE run = ? AND sequence >= ?
                   ORDER BY sequence";
        self.query(sql, params![run.0, i64::try_from(sequence).unwrap_or(i64::MAX)], |row| {
            let sequence = self.count(row, 0)?;
            let kind: String = self.column(row, 3)?;
            let text: String = self.column(row, 4)?;
            let body = serde_json::from_str(&text).or_else(|_| {
                let body: Value =
                    serde_json::from_str(&text).map_err(|_| self.corrupt(format!("event {sequence} of run {run}")))?;
                Ok(EventBody::Unrecognized { kind, body })
            })?;
            let time =
                self.time(row, 1)?.ok_or_else(|| self.corrupt(format!("time of event {sequence} of run {run}")))?;
            Ok(Event { version: self.column(row, 2)?, run: run.clone(), sequence, time, body })
        })
    }

    /// The run whose id begins or ends with `text`; a whole id is found whatever else it begins.
    ///
    /// # Errors
    /// [`JournalError::NoSuchRun`] when there is none, [`JournalError::Ambiguous`] when there are several.
    pub fn find(&self, text: &str) -> Result<RunId, JournalError> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return Err(JournalError::NoSuchRun(text));
        }
        let sql = "SELECT run FROM runs WHERE substr(run, 1, length(?1)) = ?1 OR substr(run, -length(?1)) = ?1
                   ORDER BY run DESC";
        let found: Vec<String> = self.query(sql, params![text], |row| self.column(row, 0))?;
        match found.as_slice() {
            [] => Err(JournalError::NoSuchRun(text)),
            [only] => Ok(RunId(only.clone())),
            several if several.contains(&text) => Ok(RunId(text)),
            several => Err(JournalError::Ambiguous {
                count: several.len(),
                examples: several.iter().take(5).cloned().collect(),
                text,
            }),
        }
    }

    /// The entries of the store that events speak of: outputs and metadata that were too large for them.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn stored(&self) -> Result<BTreeSet<ContentHash>, JournalError> {
        let bodies: Vec<String> =
            self.query("SELECT body FROM events WHERE body LIKE '%stored\":%'", [], |row| self.column(row, 0))?;
        let mut found = BTreeSet::new();
        for body in bodies {
            let body: Value = serde_json::from_str(&body).map_err(|_| self.corrupt("an event that is no JSON"))?;
            hashes(&body, &mut found);
        }
        Ok(found)
    }

    /// The layers of runs that have no end: they run, or were cut off.
    ///
    /// # Errors
    /// As [`Self::runs`].
    pub fn layers_without_end(&self) -> Result<BTreeSet<String>, JournalError> {
        let runs: Vec<String> =
            self.query("SELECT run FROM runs WHERE finished IS NULL", [], |row| self.column(row, 0))?;
        let mut layers = BTreeSet::new();
        for run in runs {
            layers.extend(self.events(&RunId(run))?.into_iter().filter_map(|event| match event.body {
                EventBody::CallIntended { layer, .. } => layer,
                _ => None,
            }));
        }
        Ok(layers)
    }

    /// The version of the newest event, to be compared with [`super::EVENT_VERSION`]; `None` without events.
    ///
    /// # Errors
    /// [`JournalError::Database`].
    pub fn newest_version(&self) -> Result<Option<u16>, JournalError> {
        let found = self.query("SELECT max(version) FROM events", [], |row| self.column(row, 0))?;
        Ok(found.into_iter().next().flatten())
    }

    fn query<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        each: impl Fn(&Row<'_>) -> Result<T, JournalError>,
    ) -> Result<Vec<T>, JournalError> {
        let _in_use = fork::in_use();
        let mut disk = lock(&self.disk);
        self.make_readable(&mut disk)?;
        let failed = |source| self.database("read", source);
        let Some(connection) = disk.connection() else { return Ok(Vec::new()) };
        let mut statement = match connection.prepare_cached(sql) {
            // Whoever was making it was stopped before its first table: nothing was written yet.
            Err(_) if is_unmade(connection) => return Ok(Vec::new()),
            prepared => prepared.map_err(failed)?,
        };
        let mut rows = statement.query(params).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            found.push(each(row)?);
        }
        Ok(found)
    }

    fn summary(&self, row: &Row<'_>) -> Result<RunSummary, JournalError> {
        let word = |index| -> Result<Option<Value>, JournalError> {
            Ok(self.column::<Option<String>>(row, index)?.map(Value::String))
        };
        let id: String = self.column(row, 0)?;
        Ok(RunSummary {
            task: self.column(row, 1)?,
            // A word of a later version reads as none.
            mode: word(2)?.and_then(|value| serde_json::from_value(value).ok()),
            workspace: self.column(row, 3)?,
            steps: self.count(row, 4)?,
            completed: self.count(row, 5)?,
            failed: self.count(row, 6)?,
            skipped: self.count(row, 7)?,
            started: self.time(row, 8)?.ok_or_else(|| self.corrupt(format!("start of run {id}")))?,
            finished: self.time(row, 9)?,
            stop_reason: word(10)?.and_then(|value| serde_json::from_value(value).ok()),
            error: self.column(row, 11)?,
            id: RunId(id),
        })
    }

    fn column<T: rusqlite::types::FromSql>(&self, row: &Row<'_>, index: usize) -> Result<T, JournalError> {
        row.get(index).map_err(|source| self.database("read", source))
    }

    fn count(&self, row: &Row<'_>, index: usize) -> Result<u64, JournalError> {
        let number: i64 = self.column(row, index)?;
        u64::try_from(number).map_err(|_| self.corrupt(format!("count {number}")))
    }

    fn time(&self, row: &Row<'_>, index: usize) -> Result<Option<Timestamp>, JournalError> {
        let text: Option<String> = row.get(index).optional().map_err(|source| self.database("read", source))?.flatten();
        text.map(|text| text.parse().map_err(|_| self.corrupt(format!("time `{text}`")))).transpose()
    }
}

/// Whether a database has no tables yet.
fn is_unmade(connection: &Connection) -> bool {
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .is_ok_and(|tables: i64| tables == 0)
}

/// What is named `hash` anywhere in an event, as far as it is one.
fn hashes(value: &Value, found: &mut BTreeSet<ContentHash>) {
    match value {
        Value::Object(members) => {
            let hash = members.get("hash").and_then(Value::as_str);
            found.extend(hash.and_then(|hash| ContentHash::try_from(hash.to_owned()).ok()));
            members.values().for_each(|value| hashes(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| hashes(value, found)),
        _ => {}
    }
}
