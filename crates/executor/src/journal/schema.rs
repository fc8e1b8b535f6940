//! The tables. Events are the truth and are only ever added; `runs` and `steps` are projections of them,
//! written in the same transaction, that can be dropped and rebuilt.

use rusqlite_migration::{M, Migrations};

const V1: &str = "
CREATE TABLE events (
    id       INTEGER PRIMARY KEY,
    run      TEXT    NOT NULL,
    sequence INTEGER NOT NULL,
    time     TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    body     TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_run ON events (run, sequence);

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

CREATE TABLE runs (
    run         TEXT PRIMARY KEY,
    task        TEXT    NOT NULL,
    mode        TEXT    NOT NULL,
    workspace   TEXT    NOT NULL,
    steps       INTEGER NOT NULL,
    completed   INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    skipped     INTEGER NOT NULL DEFAULT 0,
    started     TEXT    NOT NULL,
    finished    TEXT,
    stop_reason TEXT,
    error       TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE steps (
    run         TEXT NOT NULL,
    step        TEXT NOT NULL,
    tool        TEXT NOT NULL,
    description TEXT NOT NULL,
    status      TEXT NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    error       TEXT,
    started     TEXT,
    finished    TEXT,
    PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;
";

pub(super) fn migrations() -> Migrations<'static> {
    Migrations::new(vec![M::up(V1)])
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use rusqlite_migration::{Error, MigrationDefinitionError};

    use super::*;

    #[test]
    fn a_later_build_takes_the_tables_forward_and_an_earlier_one_leaves_them_alone() {
        migrations().validate().unwrap();
        let mut journal = Connection::open_in_memory().unwrap();
        migrations().to_latest(&mut journal).unwrap();
        let event = "INSERT INTO events (run, sequence, time, version, kind, body) VALUES ('r', 0, 't', 1, 'k', '{}')";
        journal.execute(event, []).unwrap();
        let later = Migrations::new(vec![M::up(V1), M::up("ALTER TABLE runs ADD COLUMN note TEXT")]);
        later.to_latest(&mut journal).unwrap();
        let body: String = journal.query_row("SELECT body FROM events", [], |row| row.get(0)).unwrap();
        assert_eq!(body, "{}");
        assert!(journal.execute("DELETE FROM events", []).is_err(), "still only added to");
        assert!(journal.prepare("SELECT note FROM runs").is_ok());
        let refused = migrations().to_latest(&mut journal).unwrap_err();
        let too_far = Error::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead);
        assert_eq!(refused, too_far);
        assert!(journal.prepare("SELECT note FROM runs").is_ok(), "nothing was taken back");
    }
}
