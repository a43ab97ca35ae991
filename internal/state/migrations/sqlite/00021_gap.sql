-- +goose Up

-- What was given up and has to be read anew: changes of a source between two positions, or entries of its log that one route had not applied.
CREATE TABLE gap (
    n            INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT    NOT NULL UNIQUE,
    source       TEXT    NOT NULL,
    route        TEXT    NOT NULL, -- '' = every route of the source
    reason       TEXT    NOT NULL,
    by           TEXT    NOT NULL,
    status       TEXT    NOT NULL,
    from_epoch   INTEGER NOT NULL,
    from_commit  BIGINT  NOT NULL,
    from_ordinal INTEGER NOT NULL,
    to_epoch     INTEGER NOT NULL,
    to_commit    BIGINT  NOT NULL,
    from_seq     BIGINT  NOT NULL,
    to_seq       BIGINT  NOT NULL,
    attempts     INTEGER NOT NULL,
    next         BIGINT  NOT NULL, -- nothing is tried before
    error        TEXT    NOT NULL,
    created      BIGINT  NOT NULL,
    updated      BIGINT  NOT NULL
);
CREATE INDEX gap_open ON gap (source) WHERE status <> 'closed';
