-- +goose Up

-- Where the target stands for certain: the cursor before its copy was moved last.
ALTER TABLE route ADD COLUMN settled_seq INTEGER NOT NULL DEFAULT 0;
UPDATE route SET settled_seq = seq;
