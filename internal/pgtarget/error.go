package pgtarget

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"syncline"
	"syncline/internal/pgerror"
)

// reasons say in words what PostgreSQL refused, since its own message quotes the value.
var reasons = map[string]struct{ code, text string }{
	"22001": {"value_too_long", "a value is too long for its column"},
	"22003": {"value_out_of_range", "a number is out of range for its column"},
	"22007": {"value_invalid", "a text is no valid date or time"},
	"22008": {"value_out_of_range", "a date or time is out of range"},
	"22021": {"text_invalid", "a text has a zero byte or is no valid UTF-8"},
	"22P02": {"value_invalid", "a text is not valid for its column's type"},
	"22P05": {"text_invalid", "a text has a character that the database cannot hold"},
	"23001": {"dependency", "another record still refers to the record"},
	"23502": {"null_refused", "a column that must not be null is null"},
	"23503": {"dependency", "a record that a foreign key names is missing, or still refers to the record"},
	"23505": {"unique_violation", "another record has a value that must be unique"},
	"23514": {"check_violation", "a check constraint refuses the record"},
	"23P01": {"unique_violation", "an exclusion constraint refuses the record"},
	"21000": {"key_collision", "two keys of one write are the same key to the table"},
	"44000": {"check_violation", "the view's check option refuses the record"},
}

// classify turns an error of the server or the connection into one that the apply loop understands. attempt says what was
// tried ("write to public.customer"). Row values never get into the message: for data errors PostgreSQL's text is left out.
//
// A refused login is transient: passwords are rotated and pg_hba.conf is reloaded without us, and a route that comes back by
// itself is what an operator expects; rarely, because accounts are locked after failed logins. Missing rights on a table are fatal: they need somebody to decide.
func classify(attempt string, err error) error {
	var known *syncline.Error
	if errors.As(err, &known) {
		return err
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return &syncline.Error{Code: "canceled", Msg: attempt + ": " + err.Error(), Change: -1, Err: err}
		}
		return syncline.Errorf(syncline.Transient, "connection_lost", "%s: %w", attempt, err)
	}
	code := pg.Code
	if pgerror.Raised(pg) || !strings.Contains(serverClasses, " "+classOf(code)+" ") {
		if classOf(code) == "40" {
			return &syncline.Error{Class: syncline.Transient, Code: "serialization", Change: -1, Msg: attempt + ": a trigger asks to try again (SQLSTATE " + code + ")"}
		}
		return rejection(attempt, pg)
	}
	switch classOf(code) {
	case "08", "57":
		if code == "57014" {
			return said(syncline.Transient, "timeout", attempt, pg)
		}
		return said(syncline.Transient, "connection_lost", attempt, pg)
	case "28":
		return said(syncline.Transient, "refused", attempt, pg).WithFix("check user, password and pg_hba.conf of the target; it is tried again every minute, and at once after `syncline resume ROUTE`").Patiently()
	case "40":
		return said(syncline.Transient, "serialization", attempt, pg)
	case "53":
		return said(syncline.Transient, "out_of_resources", attempt, pg).WithFix("it is tried again; see to disk, memory and connections (max_connections) of the target")
	case "42":
		return structural(attempt, pg)
	}
	switch code {
	case "25006":
		return said(syncline.Transient, "read_only", attempt, pg).WithFix("the target is a standby or set to read only: point the URL at the primary")
	case "55P03", "55006":
		return said(syncline.Transient, "lock_timeout", attempt, pg)
	case "3D000":
		return said(syncline.Transient, "database_missing", attempt, pg).WithFix("it is tried again; make the database, or correct the url")
	case "3F000":
		return said(syncline.Fatal, "schema_missing", attempt, pg).WithFix("create the schema at the target")
	case "0A000":
		return said(syncline.Fatal, "unsupported", attempt, pg)
	}
	return said(syncline.Transient, "server_error", attempt, pg)
}

// serverClasses are the classes of SQLSTATE by which PostgreSQL speaks of itself, the connection or a statement. All others are
// those of data, of functions and triggers, and whatever a trigger makes up.
const serverClasses = " 01 02 03 08 0A 0B 0F 0L 0P 24 25 26 28 2B 34 3B 3D 3F 40 42 53 55 57 58 72 F0 HV XX "

// dataClasses are the classes of what a record's own values can be refused for.
const dataClasses = " 21 22 23 44 54 "

func classOf(code string) string { return code[:min(2, len(code))] }

// said quotes the server, as far as its message holds names only.
func said(class syncline.Class, code, attempt string, pg *pgconn.PgError) *syncline.Error {
	pg = pgerror.Shown(pg)
	return &syncline.Error{Class: class, Code: code, Change: -1, Err: pg, Msg: attempt + ": " + pg.Message + " (SQLSTATE " + pg.Code + ")"}
}

func rejection(attempt string, pg *pgconn.PgError) *syncline.Error {
	r, ok := reasons[pg.Code]
	class := classOf(pg.Code)
	switch {
	case ok:
	case pgerror.Raised(pg), !strings.Contains(dataClasses, " "+class+" "):
		r.code, r.text = "trigger_refused", "a trigger refuses the record"
	case class == "23":
		r.code, r.text = "constraint_violation", "a constraint refuses the record"
	default:
		r.code, r.text = "value_refused", "the database refuses a value"
	}
	msg := attempt + ": " + r.text
	if pgerror.Raised(pg) {
		return &syncline.Error{Class: syncline.Rejected, Code: r.code, Change: -1, Msg: msg + " (SQLSTATE " + pg.Code + ")"}
	}
	for _, part := range []struct{ label, name string }{{"column", pg.ColumnName}, {"constraint", pg.ConstraintName}, {"table", pg.TableName}} {
		if part.name != "" {
			msg += ", " + part.label + " " + quote(part.name)
		}
	}
	return &syncline.Error{Class: syncline.Rejected, Code: r.code, Change: -1, Msg: msg + " (SQLSTATE " + pg.Code + ")"}
}

func structural(attempt string, pg *pgconn.PgError) *syncline.Error {
	e := missing(attempt, pg)
	if !pgerror.Quotable(pg) {
		e.Fix = "correct the function, the trigger or the table at the target that the log of its server names, or the record, then `syncline resume ROUTE`"
	}
	return e
}

func missing(attempt string, pg *pgconn.PgError) *syncline.Error {
	switch pg.Code {
	case "42P01":
		return said(syncline.Fatal, "object_missing", attempt, pg).WithFix("create the table, or set create: true on the rule")
	case "42703":
		return said(syncline.Fatal, "column_missing", attempt, pg).WithFix("add the column at the target, or drop it in the rule's transform")
	case "42P10":
		return said(syncline.Fatal, "key_index_missing", attempt, pg).WithFix("create a unique index on the target key")
	case "42501":
		return said(syncline.Fatal, "permission_denied", attempt, pg).WithFix("grant the target's user the right, then `syncline resume ROUTE`")
	}
	return said(syncline.Fatal, "statement_refused", attempt, pg)
}

// isCode reports whether err is the server's error with this SQLSTATE.
func isCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}
