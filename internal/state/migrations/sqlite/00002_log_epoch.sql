-- +goose Up

-- Epochs are counted where the records are that carry them: at the targets.
ALTER TABLE source_log DROP COLUMN epoch;
