// Package pgerror tells of errors of PostgreSQL by what may be shown of them.
//
// A message of the server has names in it, which help, or values of records, which are nobody's business: of a value that was refused, of whatever a
// function raises or runs, and of a name that is made of a value ('…'::regclass). In place of such a message there are words of ours; the whole one
// is in the log of the server.
package pgerror

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ofItself are the classes in which the server speaks of itself and the connection, in a function too.
const ofItself = " 08 40 53 57 "

// ofNames are the codes of names that are not there or no names. The server points to the place in the statement, unless the name is made of a value.
const ofNames = " 42601 42602 42703 42704 42725 42883 42P01 "

// Raised reports whether a function or a trigger raised the error. It may have any code, and any value in its message and names.
func Raised(pg *pgconn.PgError) bool { return pg.Routine == "exec_stmt_raise" }

// Quotable reports whether the server's message may be shown.
func Quotable(pg *pgconn.PgError) bool {
	class := classOf(pg)
	switch {
	case Raised(pg), class == "22", class == "23":
		return false
	case strings.Contains(ofItself, " "+class+" "), pg.Code == "55P03":
		return true
	}
	return pg.Where == "" && (pg.Position > 0 || !strings.Contains(ofNames, " "+pg.Code+" "))
}

// conditions are the server's own names (errcodes.txt) of what is behind most errors that are not quoted.
var conditions = map[string]string{
	"22001": "string_data_right_truncation", "22003": "numeric_value_out_of_range", "22004": "null_value_not_allowed", "22007": "invalid_datetime_format",
	"22008": "datetime_field_overflow", "22012": "division_by_zero", "2201E": "invalid_argument_for_logarithm", "22021": "character_not_in_repertoire",
	"22023": "invalid_parameter_value", "22030": "duplicate_json_object_key_value", "22032": "invalid_json_text", "22P02": "invalid_text_representation",
	"22P05": "untranslatable_character", "2201B": "invalid_regular_expression", "2202E": "array_subscript_error", "23502": "not_null_violation",
	"23514": "check_violation", "42501": "insufficient_privilege", "42601": "syntax_error", "42602": "invalid_name", "42703": "undefined_column",
	"42704": "undefined_object", "42725": "ambiguous_function", "42883": "undefined_function", "42P01": "undefined_table", "P0001": "raise_exception",
	"P0002": "no_data_found", "P0003": "too_many_rows", "P0004": "assert_failure",
}

// Shown is the server's error as it may be shown: pg itself, or its code with words of ours and nothing else.
func Shown(pg *pgconn.PgError) *pgconn.PgError {
	if Quotable(pg) {
		return pg
	}
	shown := &pgconn.PgError{Severity: pg.Severity, Code: pg.Code, Routine: pg.Routine}
	switch class := classOf(pg); {
	case Raised(pg):
		shown.Message = "a function, or a trigger, refuses it"
	case class == "22":
		shown.Message = "a value is not what it is taken for"
	case class == "23":
		shown.Message = "a constraint refuses a value"
	case pg.Where == "":
		shown.Message = "what it names is not there"
	default:
		shown.Message, shown.Where = "a function, or a trigger, fails", "a function"
	}
	if name := conditions[pg.Code]; name != "" {
		shown.Message += ", " + name
	}
	shown.Message += "; the words are in the server's log"
	return shown
}

// Told returns err, and where it is the server's and may not be shown, Shown in its place.
func Told(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || Quotable(pg) {
		return err
	}
	return Shown(pg)
}

// OfLogin returns err, and where it is of a server that repeats the password that it was given, words of ours in its place.
func OfLogin(err error) error {
	var pg *pgconn.PgError
	var login *pgconn.ConnectError
	if errors.As(err, &pg) && errors.As(err, &login) && login.Config.Password != "" && strings.Contains(pg.Message, login.Config.Password) {
		return &pgconn.PgError{Severity: pg.Severity, Code: pg.Code, Message: "the server refuses the connection"}
	}
	return err
}

func classOf(pg *pgconn.PgError) string { return pg.Code[:min(2, len(pg.Code))] }
