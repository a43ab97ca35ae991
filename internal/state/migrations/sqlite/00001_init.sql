-- +goose Up
CREATE TABLE store (
    id      TEXT PRIMARY KEY,
    created BIGINT NOT NULL
);

-- One row per slice of a route: its cursor, its halt, and the totals of everything it has ever committed.
CREATE TABLE route (
    route        TEXT     NOT NULL,
    slice        INTEGER  NOT NULL,
    known        SMALLINT NOT NULL,
    placing      SMALLINT NOT NULL,
    source       TEXT     NOT NULL,
    signature    TEXT     NOT NULL,
    run          TEXT     NOT NULL,
    log          TEXT     NOT NULL,
    seq          BIGINT   NOT NULL,
    idx          BIGINT   NOT NULL,
    epoch        BIGINT   NOT NULL,
    halt         TEXT     NOT NULL,
    halt_text    TEXT     NOT NULL,
    halt_fix     TEXT     NOT NULL,
    halt_at      BIGINT   NOT NULL,
    gap_from     BIGINT   NOT NULL,
    gap_to       BIGINT   NOT NULL,
    mixed        SMALLINT NOT NULL,
    updated      BIGINT   NOT NULL,
    folded_seq   BIGINT   NOT NULL,
    folded_idx   BIGINT   NOT NULL,
    n_read       BIGINT   NOT NULL,
    n_applied    BIGINT   NOT NULL,
    n_filtered   BIGINT   NOT NULL,
    n_superseded BIGINT   NOT NULL,
    n_parked     BIGINT   NOT NULL,
    n_skipped    BIGINT   NOT NULL,
    latency      BLOB,
    PRIMARY KEY (route, slice)
);

-- One row per committed batch. The ranges of a slice never overlap.
CREATE TABLE journal (
    route        TEXT    NOT NULL,
    slice        INTEGER NOT NULL,
    from_seq     BIGINT  NOT NULL,
    from_idx     BIGINT  NOT NULL,
    to_seq       BIGINT  NOT NULL,
    to_idx       BIGINT  NOT NULL,
    epoch        BIGINT  NOT NULL,
    rule_version TEXT    NOT NULL,
    started      BIGINT  NOT NULL,
    ended        BIGINT  NOT NULL,
    n_read       BIGINT  NOT NULL,
    n_applied    BIGINT  NOT NULL,
    n_filtered   BIGINT  NOT NULL,
    n_superseded BIGINT  NOT NULL,
    n_parked     BIGINT  NOT NULL,
    n_skipped    BIGINT  NOT NULL,
    outcomes     BLOB,
    latency      BLOB,
    PRIMARY KEY (route, slice, from_seq, from_idx)
) WITHOUT ROWID;

-- One row per task that is not simply done. n is the order of parking, which lists page by.
CREATE TABLE task (
    n            INTEGER PRIMARY KEY AUTOINCREMENT,
    task         TEXT     NOT NULL UNIQUE,
    route        TEXT     NOT NULL,
    slice        INTEGER  NOT NULL,
    rule         TEXT     NOT NULL,
    source       TEXT     NOT NULL,
    entity       TEXT     NOT NULL,
    object       TEXT     NOT NULL,
    record_key   TEXT     NOT NULL,
    seq          BIGINT   NOT NULL,
    idx          BIGINT   NOT NULL,
    status       TEXT     NOT NULL,
    pending      SMALLINT NOT NULL,
    outcome      SMALLINT NOT NULL,
    code         TEXT     NOT NULL,
    error        TEXT     NOT NULL,
    attempts     INTEGER  NOT NULL,
    next_try     BIGINT   NOT NULL,
    created      BIGINT   NOT NULL,
    updated      BIGINT   NOT NULL,
    resolved_log TEXT     NOT NULL,
    resolved_seq BIGINT   NOT NULL,
    resolved_idx BIGINT   NOT NULL,
    resolved_epoch BIGINT NOT NULL,
    record       BLOB
);
CREATE INDEX task_place ON task (route, slice, seq, idx);
CREATE INDEX task_pending ON task (route, slice, pending, seq, idx);
CREATE INDEX task_resolved ON task (route, slice, pending, resolved_seq, resolved_idx);
CREATE INDEX task_status ON task (status);
CREATE INDEX task_rule ON task (rule);
CREATE INDEX task_key ON task (record_key);
CREATE INDEX task_code ON task (code);

-- The logs that a source has had; epoch counts them from 1.
CREATE TABLE source_log (
    source TEXT     NOT NULL,
    log    TEXT     NOT NULL,
    epoch  SMALLINT NOT NULL,
    PRIMARY KEY (source, log)
);

CREATE TABLE run (
    n       INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT     NOT NULL UNIQUE,
    source  TEXT     NOT NULL,
    kind    SMALLINT NOT NULL,
    entity  TEXT     NOT NULL,
    keys    TEXT     NOT NULL,
    routes  TEXT     NOT NULL,
    reset   SMALLINT NOT NULL,
    status  TEXT     NOT NULL,
    chunks  BIGINT   NOT NULL,
    rows    BIGINT   NOT NULL,
    error   TEXT     NOT NULL,
    created BIGINT   NOT NULL,
    updated BIGINT   NOT NULL
);
CREATE INDEX run_source ON run (source);
CREATE INDEX run_open ON run (source) WHERE status IN ('requested', 'running');

-- The ids of pushed events that the log still holds, with a hash of the body.
CREATE TABLE event_id (
    source TEXT   NOT NULL,
    id     TEXT   NOT NULL,
    seq    BIGINT NOT NULL,
    hash   BLOB,
    PRIMARY KEY (source, id)
) WITHOUT ROWID;
CREATE INDEX event_id_seq ON event_id (source, seq);
