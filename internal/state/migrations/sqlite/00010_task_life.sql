-- +goose Up

-- What each rule had of a batch, and the sum of the latencies whose histogram is beside it, in microseconds.
ALTER TABLE journal ADD COLUMN rules BLOB;
ALTER TABLE journal ADD COLUMN latency_us BIGINT NOT NULL DEFAULT 0;

-- The class of a task's error; the record as it came where a person has edited it, and who did, when and why, as JSON.
ALTER TABLE task ADD COLUMN class TEXT NOT NULL DEFAULT '';
UPDATE task SET class = 'rejected' WHERE code <> '';
ALTER TABLE task ADD COLUMN original BLOB;
ALTER TABLE task ADD COLUMN edit TEXT NOT NULL DEFAULT '';
CREATE INDEX task_created ON task (created);

-- Each change of a task to failed, conflict or cancelled, and back.
CREATE TABLE task_event (
    n          INTEGER PRIMARY KEY AUTOINCREMENT,
    at         BIGINT  NOT NULL,
    task       TEXT    NOT NULL,
    route      TEXT    NOT NULL,
    rule       TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    entity     TEXT    NOT NULL,
    object     TEXT    NOT NULL,
    record_key TEXT    NOT NULL,
    was        TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    code       TEXT    NOT NULL,
    error      TEXT    NOT NULL,
    attempts   INTEGER NOT NULL
);
