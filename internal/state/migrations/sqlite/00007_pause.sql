-- +goose Up

-- What an operator has paused: everything of a source, an entity, a rule or a target.
CREATE TABLE pause (
    kind   TEXT   NOT NULL,
    name   TEXT   NOT NULL,
    reason TEXT   NOT NULL,
    author TEXT   NOT NULL,
    since  BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
