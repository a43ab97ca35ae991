-- +goose Up

-- A sweep that finds suspiciously many records gone goes on all the same.
ALTER TABLE run ADD COLUMN force SMALLINT NOT NULL DEFAULT 0;
