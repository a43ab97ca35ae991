-- +goose Up

-- Why a route stopped is found out anew at each start.
ALTER TABLE route DROP COLUMN halt;
ALTER TABLE route DROP COLUMN halt_text;
ALTER TABLE route DROP COLUMN halt_fix;
ALTER TABLE route DROP COLUMN halt_at;
