-- +goose Up
-- One row per call that changes something, written before it is carried out; its result is a row beside it. Neither is ever changed,
-- and removed only once it is older than audit_kept says.
CREATE TABLE audit (
    n         INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT   NOT NULL UNIQUE,
    at        BIGINT NOT NULL,
    who       TEXT   NOT NULL,
    token     TEXT   NOT NULL,
    role      TEXT   NOT NULL,
    address   TEXT   NOT NULL,
    operation TEXT   NOT NULL,
    details   TEXT   NOT NULL,
    reason    TEXT   NOT NULL
);
CREATE INDEX audit_at ON audit (at);

CREATE TABLE audit_result (
    n      BIGINT PRIMARY KEY,
    ended  BIGINT  NOT NULL,
    status INTEGER NOT NULL,
    code   TEXT    NOT NULL
);

CREATE TABLE audit_kept (below BIGINT NOT NULL);
INSERT INTO audit_kept (below) VALUES (0);

-- +goose StatementBegin
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_result_unchanged BEFORE UPDATE ON audit_result
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_retained BEFORE DELETE ON audit WHEN OLD.at >= (SELECT below FROM audit_kept)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_result_retained BEFORE DELETE ON audit_result
WHEN COALESCE((SELECT at FROM audit WHERE audit.n = OLD.n), 0) >= (SELECT below FROM audit_kept)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- REPLACE removes a row without a trigger's leave.
-- +goose StatementBegin
CREATE TRIGGER audit_once BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id OR n = NEW.n)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_result_once BEFORE INSERT ON audit_result WHEN EXISTS (SELECT 1 FROM audit_result WHERE n = NEW.n)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
