package trial

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"syncline"
	"syncline/internal/expression"
)

// shown is a value as a person reads it: text in quotes, so that "1" and 1 differ.
func shown(v syncline.Value) string {
	switch v.Kind() {
	case syncline.KindNull:
		return "null"
	case syncline.KindUnset:
		return "not sent"
	case syncline.KindBytes:
		return fmt.Sprintf("%x", v.Bytes())
	case syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal, syncline.KindBool, syncline.KindJSON:
		return v.Text()
	}
	return strconv.Quote(v.Text())
}

// Diff lists what differs between two records, a field a line: "+ new: value", "- gone: value", "~ changed: was → is".
func Diff(was, is syncline.Row) []string {
	var lines []string
	for i, c := range is.Schema.Columns {
		v := is.Values[i]
		at := -1
		if was.Schema != nil {
			at = was.Schema.Index(c.Name)
		}
		switch {
		case at < 0:
			lines = append(lines, "+ "+c.Name+": "+shown(v))
		case !was.Values[at].Identical(v):
			lines = append(lines, "~ "+c.Name+": "+shown(was.Values[at])+" → "+shown(v))
		}
	}
	if was.Schema != nil {
		for i, c := range was.Schema.Columns {
			if is.Schema.Index(c.Name) < 0 {
				lines = append(lines, "- "+c.Name+": "+shown(was.Values[i]))
			}
		}
	}
	return lines
}

// line is a record in one line.
func line(r syncline.Row) string {
	parts := make([]string, len(r.Values))
	for i := range r.Values {
		parts[i] = r.Schema.Columns[i].Name + ": " + shown(r.Values[i])
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// Result says in a few words what came of the event.
func (o *Outcome) Result() string {
	switch {
	case errors.Is(o.Err, expression.ErrUnset):
		return "the record would be read from the source, at a target that holds records, or else parked: " + o.Err.Error()
	case o.Err != nil:
		return "the record would be parked: " + o.Err.Error()
	case o.Removed:
		return "the record is removed"
	case !o.Matched:
		i := slices.IndexFunc(o.Checks, func(c Check) bool { return !c.Holds })
		return "the rule does not want the record: " + o.Checks[i].What
	case len(o.Records) == 0:
		return "the record is left out"
	case len(o.Records) == 1:
		return "one record"
	}
	return strconv.Itoa(len(o.Records)) + " records"
}
