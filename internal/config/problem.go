package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Code names a kind of problem. Codes are stable and documented in docs/errors.md.
type Code string

const (
	Unreadable      Code = "unreadable"
	BadYAML         Code = "bad_yaml"
	TooLarge        Code = "too_large"
	UnknownKey      Code = "unknown_key"
	DuplicateKey    Code = "duplicate_key"
	WrongType       Code = "wrong_type"
	MissingField    Code = "missing_field"
	MissingVariable Code = "missing_variable"
	BadValue        Code = "bad_value"
	BadDuration     Code = "bad_duration"
	BadSize         Code = "bad_size"
	BadName         Code = "bad_name"
	BadURL          Code = "bad_url"
	BadExpression   Code = "bad_expression"
	BadScript       Code = "bad_script"
	BadTemplate     Code = "bad_template"
	BadSchedule     Code = "bad_schedule"
	BadVersion      Code = "bad_version"
	PlainSecret     Code = "plain_secret"
	DuplicateID     Code = "duplicate_id"
	UnknownType     Code = "unknown_type"
	UnknownSystem   Code = "unknown_system"
	UnknownEntity   Code = "unknown_entity"
	UnknownChannel  Code = "unknown_channel"
	UnknownRule     Code = "unknown_rule"
	NotASource      Code = "not_a_source"
	NotATarget      Code = "not_a_target"
	BadStart        Code = "bad_start"
	BadGroup        Code = "bad_group"
	SharedObject    Code = "shared_object"
	Cycle           Code = "cycle"
	NotComparable   Code = "not_comparable"
	NotAvailable    Code = "not_available"
)

// Codes says what each code means, in the order of the documentation.
var Codes = []struct {
	Code    Code
	Meaning string
}{
	{Unreadable, "the file, directory or referenced file cannot be read"},
	{BadYAML, "the text is not YAML"},
	{TooLarge, "the file has more nodes than any configuration needs"},
	{UnknownKey, "there is no such key here"},
	{DuplicateKey, "the key or section is given twice"},
	{WrongType, "the value is of another type than the key takes"},
	{MissingField, "a required key is missing"},
	{MissingVariable, "a reference to the environment or a file finds nothing"},
	{BadValue, "the value is not one that the key takes"},
	{BadDuration, "the value is not a duration such as 50ms, 5m, 24h or 7d"},
	{BadSize, "the value is not a size such as 512MiB or 20GB"},
	{BadName, "a name or identifier has characters that it cannot have"},
	{BadURL, "the URL has a form or scheme that the system does not take"},
	{BadExpression, "the expression does not compile"},
	{BadScript, "the script of a step is no JavaScript"},
	{BadTemplate, "the template of a channel does not compile, or fails on a message"},
	{BadSchedule, "the cron expression or the time zone of a schedule is none"},
	{BadVersion, "the file is of a version that this program does not read"},
	{PlainSecret, "a secret, or the password of a URL, stands in the file instead of a reference to it"},
	{DuplicateID, "two things have the same name"},
	{UnknownType, "there is no such type of system"},
	{UnknownSystem, "no system has this name"},
	{UnknownEntity, "the system has no entity of this name"},
	{UnknownChannel, "there is no channel of this name to send alerts to"},
	{UnknownRule, "no rule has this id"},
	{NotASource, "the system is not a source"},
	{NotATarget, "the system cannot be a target"},
	{BadStart, "the rule cannot start in this way with this source"},
	{BadGroup, "rules of one group must share their source and their target"},
	{SharedObject, "rules that may overwrite each other write one object"},
	{Cycle, "rules lead back to where they start"},
	{NotComparable, "the rule's source cannot list its records, or its target cannot be read: nothing can be compared"},
	{NotAvailable, "this version does not have it yet"},
}

// Problem is one thing that is wrong, and where.
type Problem struct {
	File string `json:"file"`
	// Line and Column count from 1, in characters; 0 where the file as a whole is meant.
	Line   int  `json:"line"`
	Column int  `json:"column"`
	Code   Code `json:"code"`
	// Path is the place in the document ("rules[0].when").
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Suggestion says what to do about it; may be empty.
	Suggestion string `json:"suggestion,omitempty"`

	// source is the line of the file, with secrets masked.
	source string
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	fmt.Fprintf(&b, ": %s: %s", p.Code, p.Message)
	if p.Suggestion != "" {
		b.WriteString(" (" + p.Suggestion + ")")
	}
	return b.String()
}

// Problems are in the order of files and lines.
type Problems []Problem

// Error lists the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err returns p as an error, nil if there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// WriteJSON writes the problems as one JSON array.
func (p Problems) WriteJSON(w io.Writer) error {
	if p == nil {
		p = Problems{}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(p)
}

const (
	colourRed, colourDim, colourCyan, colourOff = "\x1b[1;31m", "\x1b[2m", "\x1b[36m", "\x1b[0m"
)

// WriteText writes the problems for people: the place, the code and the message, the line with a caret, the way out.
func (p Problems) WriteText(w io.Writer, colour bool) error {
	paint := func(c, s string) string {
		if !colour {
			return s
		}
		return c + s + colourOff
	}
	var b strings.Builder
	for i, q := range p {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(q.File)
		if q.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", q.Line, q.Column)
		}
		fmt.Fprintf(&b, ": %s: %s\n", paint(colourRed, string(q.Code)), q.Message)
		if q.source != "" {
			number := strconv.Itoa(q.Line)
			fmt.Fprintf(&b, "  %s %s\n", paint(colourDim, number+" |"), q.source)
			fmt.Fprintf(&b, "  %s %s%s\n", paint(colourDim, strings.Repeat(" ", len(number))+" |"),
				indentLike(q.source, q.Column-1), paint(colourRed, "^"))
		}
		if q.Suggestion != "" {
			fmt.Fprintf(&b, "  %s\n", paint(colourCyan, "→ "+q.Suggestion))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// indentLike returns what is as wide as the first n characters of line: tabs stay, wide characters take two places.
func indentLike(line string, n int) string {
	var b strings.Builder
	for _, r := range line {
		if n--; n < 0 {
			break
		}
		switch {
		case r == '\t':
			b.WriteByte('\t')
		case r >= 0x1100 && r <= 0x115F || r >= 0x2E80 && r <= 0xA4CF || r >= 0xAC00 && r <= 0xD7A3 || r >= 0xF900 && r <= 0xFAFF || r >= 0xFF00 && r <= 0xFF60:
			b.WriteString("  ")
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}
