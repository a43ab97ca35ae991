-- +goose Up

-- What is remembered of each alert, a document each: all of it is read at the start, and kept in memory.
CREATE TABLE alert (
    id       TEXT NOT NULL PRIMARY KEY,
    instance TEXT NOT NULL
) WITHOUT ROWID;

-- What there was to tell, and what became of telling each channel. Both are written together with what is remembered, so that
-- nothing is told twice or not at all because of a crash in between.
CREATE TABLE alert_message (
    n       INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT   NOT NULL UNIQUE,
    at      BIGINT NOT NULL,
    rule    TEXT   NOT NULL,
    what    TEXT   NOT NULL,
    message TEXT   NOT NULL
);
CREATE INDEX alert_message_at ON alert_message (at);

CREATE TABLE alert_delivery (
    message  BIGINT  NOT NULL,
    channel  TEXT    NOT NULL,
    status   TEXT    NOT NULL,
    attempts INTEGER NOT NULL,
    next_try BIGINT  NOT NULL,
    code     TEXT    NOT NULL,
    error    TEXT    NOT NULL,
    updated  BIGINT  NOT NULL,
    PRIMARY KEY (message, channel)
) WITHOUT ROWID;
CREATE INDEX alert_delivery_waiting ON alert_delivery (channel, message) WHERE status = 'waiting';

CREATE TABLE alert_silence (
    n      INTEGER PRIMARY KEY AUTOINCREMENT,
    id     TEXT   NOT NULL UNIQUE,
    rule   TEXT   NOT NULL,
    labels TEXT   NOT NULL,
    reason TEXT   NOT NULL,
    author TEXT   NOT NULL,
    since  BIGINT NOT NULL,
    until  BIGINT NOT NULL
);
