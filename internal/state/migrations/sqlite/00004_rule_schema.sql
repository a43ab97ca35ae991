-- +goose Up
-- The schema that each rule's object was last made to fit, and where its slice stood then.
CREATE TABLE rule_schema (
    route  TEXT    NOT NULL,
    slice  INTEGER NOT NULL,
    rule   TEXT    NOT NULL,
    object TEXT    NOT NULL,
    source BLOB    NOT NULL,
    made   BLOB    NOT NULL,
    seq    BIGINT  NOT NULL,
    idx    BIGINT  NOT NULL,
    PRIMARY KEY (route, slice, rule)
) WITHOUT ROWID;
