-- +goose Up

-- The version of the rules that the route ran with last, and how they made target keys, as a JSON object by rule.
ALTER TABLE route ADD COLUMN version TEXT NOT NULL DEFAULT '';
ALTER TABLE route ADD COLUMN keys TEXT NOT NULL DEFAULT '{}';
