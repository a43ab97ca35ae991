-- +goose Up
-- A verification: what is compared, and how far it has got. Spec and progress are JSON of internal/verify.
CREATE TABLE verification (
    n        INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT   NOT NULL UNIQUE,
    status   TEXT   NOT NULL,
    spec     TEXT   NOT NULL,
    progress TEXT   NOT NULL,
    created  BIGINT NOT NULL,
    updated  BIGINT NOT NULL
);
CREATE INDEX verification_open ON verification (status) WHERE status = 'running';

-- A record that was found to differ, by its key; no value of it.
CREATE TABLE difference (
    n            INTEGER PRIMARY KEY AUTOINCREMENT,
    verification TEXT NOT NULL,
    rule         TEXT NOT NULL,
    record_key   TEXT NOT NULL,
    source_key   TEXT NOT NULL,
    kind         TEXT NOT NULL,
    fields       TEXT NOT NULL,
    state        TEXT NOT NULL,
    UNIQUE (verification, rule, record_key)
);

-- What the last verification of a rule came to that compared everything.
CREATE TABLE verified (
    rule         TEXT PRIMARY KEY,
    verification TEXT   NOT NULL,
    records      BIGINT NOT NULL,
    differences  BIGINT NOT NULL,
    unsettled    BIGINT NOT NULL,
    at           BIGINT NOT NULL
);
