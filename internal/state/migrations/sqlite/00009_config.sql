-- +goose Up

-- The configurations that were applied, the latest ones. Secrets are references in them.
CREATE TABLE config (
	version    INTEGER PRIMARY KEY,
	hash       TEXT NOT NULL,
	files      TEXT NOT NULL,
	applied    INTEGER NOT NULL,
	applied_by TEXT NOT NULL
);
