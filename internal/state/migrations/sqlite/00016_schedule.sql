-- +goose Up

-- Where each schedule stands: its next occurrence, and the run that is under way with who carries it out. The times are of the timetable,
-- without jitter.
CREATE TABLE schedule (
    id            TEXT    PRIMARY KEY,
    signature     TEXT    NOT NULL,
    settled       BIGINT  NOT NULL,
    next          BIGINT  NOT NULL,
    queued        BIGINT  NOT NULL,
    paused        INTEGER NOT NULL,
    pause_reason  TEXT    NOT NULL,
    paused_by     TEXT    NOT NULL,
    paused_since  BIGINT  NOT NULL,
    run           TEXT    NOT NULL,
    owner         TEXT    NOT NULL,
    lease         BIGINT  NOT NULL,
    missed        BIGINT  NOT NULL,
    failures      BIGINT  NOT NULL
) WITHOUT ROWID;

-- What became of occurrences, and of runs that somebody asked for.
CREATE TABLE schedule_run (
    n        INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT   NOT NULL UNIQUE,
    schedule TEXT   NOT NULL,
    work     TEXT   NOT NULL,
    cause    TEXT   NOT NULL,
    author   TEXT   NOT NULL,
    reason   TEXT   NOT NULL,
    due      BIGINT NOT NULL,
    started  BIGINT NOT NULL,
    ended    BIGINT NOT NULL,
    status   TEXT   NOT NULL,
    missed   BIGINT NOT NULL,
    counts   TEXT   NOT NULL,
    note     TEXT   NOT NULL,
    code     TEXT   NOT NULL,
    error    TEXT   NOT NULL
);
CREATE INDEX schedule_run_of ON schedule_run (schedule, n);
