-- +goose Up

-- A sweep that finds suspiciously many records gone goes on all the same.
ALTER TABLE run ADD COLUMN force SMALLINT NOT NULL DEFAULT 0;

-- The polled entities of each source. noted is the highest position that anything was noted for, settled the highest whose
-- notes have become what was seen.
CREATE TABLE poll_entity (
    id      INTEGER PRIMARY KEY,
    source TEXT   NOT NULL,
    entity TEXT   NOT NULL,
    noted   BIGINT NOT NULL,
    settled BIGINT NOT NULL,
    UNIQUE (source, entity)
);

-- What was seen last of each of their records, as far as the log tells it.
CREATE TABLE poll_seen (
    entity BIGINT   NOT NULL,
    key    TEXT     NOT NULL,
    hash   BLOB,
    state  SMALLINT NOT NULL,
    PRIMARY KEY (entity, key)
) WITHOUT ROWID;

-- What becomes of that once the batch of this position is in the log.
CREATE TABLE poll_note (
    entity   BIGINT   NOT NULL,
    position BIGINT   NOT NULL,
    key      TEXT     NOT NULL,
    hash     BLOB,
    state    SMALLINT NOT NULL,
    PRIMARY KEY (entity, position, key)
) WITHOUT ROWID;
CREATE INDEX poll_note_key ON poll_note (entity, key, position);
