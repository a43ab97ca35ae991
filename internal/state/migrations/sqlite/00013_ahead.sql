-- +goose Up
-- Tasks that were carried out before those that come first in the log, because they are urgent; at_… is the cursor that was stored
-- with them. A target that stands before it has lost them.
CREATE TABLE ahead (
    route   TEXT    NOT NULL,
    slice   INTEGER NOT NULL,
    seq     BIGINT  NOT NULL,
    idx     INTEGER NOT NULL,
    rule    TEXT    NOT NULL,
    outcome INTEGER NOT NULL,
    at_seq  BIGINT  NOT NULL,
    at_idx  INTEGER NOT NULL,
    PRIMARY KEY (route, slice, seq, idx, rule)
) WITHOUT ROWID;
