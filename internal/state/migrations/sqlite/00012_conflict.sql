-- +goose Up

-- What was decided where a target disagreed, one row for each task. Records are JSON documents, NULL where there was none.
CREATE TABLE conflict (
    n          INTEGER PRIMARY KEY AUTOINCREMENT,
    task       TEXT    NOT NULL UNIQUE,
    route      TEXT    NOT NULL,
    slice      INTEGER NOT NULL,
    rule       TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    entity     TEXT    NOT NULL,
    object     TEXT    NOT NULL,
    record_key TEXT    NOT NULL,
    detector   TEXT    NOT NULL,
    business   TEXT    NOT NULL, -- the business rule's name
    fields     TEXT    NOT NULL, -- a JSON list
    base       TEXT,
    ours       TEXT,
    theirs     TEXT,
    result     TEXT,
    strategy   TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    note       TEXT    NOT NULL,
    held       BLOB    NOT NULL, -- what identifies the state that the target was in
    open       BOOLEAN NOT NULL, -- a person has to decide
    choice     TEXT    NOT NULL DEFAULT '', -- what one has decided, as JSON
    by         TEXT    NOT NULL DEFAULT '',
    reason     TEXT    NOT NULL DEFAULT '',
    created    BIGINT  NOT NULL,
    updated    BIGINT  NOT NULL
);
CREATE INDEX conflict_open ON conflict (open, rule) WHERE open;
CREATE INDEX conflict_slice ON conflict (route, slice) WHERE open;
CREATE INDEX conflict_created ON conflict (created);
