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
