-- +goose Up
-- What each check of the health came to, in short.
CREATE TABLE health (
    n       INTEGER PRIMARY KEY AUTOINCREMENT,
    at      BIGINT NOT NULL,
    level   TEXT   NOT NULL,
    summary TEXT   NOT NULL
);
CREATE INDEX health_at ON health (at);
