package trial

import (
	"context"
	"fmt"

	"syncline"
)

// Case is a test of a rule: an event, and what is to come of it.
type Case struct {
	Name  string
	Event Event
	Want  Want
	// Place is where it stands, for messages.
	Place string
}

// Want is what is to come of an event: Records, or one of the others.
type Want struct {
	Records [][]Field
	// Filtered: the rule does not want the record, or a step leaves it out.
	Filtered bool
	// Removed: the record is taken away.
	Removed bool
	// Error is the code with which the record is parked.
	Error string
}

// Test returns what differs from what is wanted, a line each; nothing where the test passes.
func Test(ctx context.Context, r Rule, c Case) []string {
	out, err := Run(ctx, r, c.Event)
	if err == nil {
		err = out.Err
	}
	code := syncline.CodeOf(err)
	switch {
	case err != nil && c.Want.Error == code:
		return nil
	case err != nil:
		return []string{fmt.Sprintf("want %s, got the error %v", c.Want, err)}
	case c.Want.Error != "", c.Want.Removed != out.Removed, c.Want.Filtered && len(out.Records) > 0:
		return []string{fmt.Sprintf("want %s, got: %s", c.Want, out.Result())}
	case len(out.Records) != len(c.Want.Records):
		lines := []string{fmt.Sprintf("want %s, got: %s", c.Want, out.Result())}
		for _, r := range out.Records {
			lines = append(lines, "  got "+line(r))
		}
		return lines
	}
	var lines []string
	for i, want := range c.Want.Records {
		for _, d := range differences(want, out.Records[i]) {
			if len(out.Records) > 1 {
				d = fmt.Sprintf("record %d: %s", i+1, d)
			}
			lines = append(lines, d)
		}
	}
	return lines
}

func (w Want) String() string {
	switch {
	case w.Error != "":
		return "the error " + w.Error
	case w.Removed:
		return "the record to be removed"
	case w.Filtered:
		return "the record to be left out"
	case len(w.Records) == 1:
		return "one record"
	}
	return fmt.Sprintf("%d records", len(w.Records))
}

func differences(want []Field, got syncline.Row) []string {
	var lines []string
	named := make(map[string]bool, len(want))
	for _, f := range want {
		named[f.Name] = true
		at := got.Schema.Index(f.Name)
		switch {
		case at < 0:
			lines = append(lines, fmt.Sprintf("%s: want %s, and there is no such field", f.Name, shown(f.Value)))
		case !same(f.Value, got.Values[at]):
			lines = append(lines, fmt.Sprintf("%s: want %s, got %s", f.Name, shown(f.Value), shown(got.Values[at])))
		}
	}
	for i, c := range got.Schema.Columns {
		if !named[c.Name] && !got.Values[i].IsUnset() {
			lines = append(lines, fmt.Sprintf("%s: got %s, which is not expected", c.Name, shown(got.Values[i])))
		}
	}
	return lines
}

// same compares a value as it is written in a test: what has no form of its own there (times, UUIDs) is written as text.
func same(want, got syncline.Value) bool {
	if syncline.Equal(want, got) {
		return true
	}
	if want.Kind() != syncline.KindText {
		return false
	}
	switch got.Kind() {
	case syncline.KindDate, syncline.KindTime, syncline.KindTimestamp, syncline.KindTimestampTZ, syncline.KindUUID, syncline.KindBytes, syncline.KindRaw, syncline.KindArray:
		return syncline.Equal(syncline.Raw(got.Kind(), want.Bytes()), got)
	}
	return false
}
