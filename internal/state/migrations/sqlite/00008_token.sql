-- +goose Up
-- One row per token that was ever made; what is revoked stays, so that the audit log's ids mean something.
CREATE TABLE token (
    n       INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT   NOT NULL UNIQUE,
    name    TEXT   NOT NULL,
    role    TEXT   NOT NULL,
    systems TEXT   NOT NULL,
    hash    BLOB   NOT NULL,
    created BIGINT NOT NULL,
    creator TEXT   NOT NULL,
    expires BIGINT NOT NULL,
    revoked BIGINT NOT NULL
);
