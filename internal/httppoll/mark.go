package httppoll

import (
	"cmp"
	"regexp"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"

	"syncline"
)

// Mark is a watermark: the highest value of the watermark field that a whole listing had. It is written to the service as the service
// wrote it, in the same form and zone.
type Mark struct {
	Text string `json:"text"`
	// Number: JSON has it as one.
	Number bool `json:"number,omitempty"`
}

// markOf returns the mark of a value; ok is false where there is none to go by (null, an object).
func markOf(v syncline.Value) (m Mark, ok bool) {
	switch v.Kind() {
	case syncline.KindText:
		return Mark{Text: v.Text()}, v.Text() != ""
	case syncline.KindInt, syncline.KindUint, syncline.KindDecimal:
		return Mark{v.Text(), true}, true
	}
	return m, false
}

// compare orders marks: numbers by amount, times by instant, other texts by their bytes. A number stands before a text.
func (m Mark) compare(n Mark) int {
	if m.Number != n.Number {
		if m.Number {
			return -1
		}
		return 1
	}
	if m.Number {
		a, errA := parseNumber(m.Text)
		b, errB := parseNumber(n.Text)
		if errA == nil && errB == nil {
			return a.Cmp(b)
		}
	} else if a, _, ok := parseTime(m.Text); ok {
		if b, _, ok := parseTime(n.Text); ok {
			return a.Compare(b)
		}
	}
	return cmp.Compare(m.Text, n.Text)
}

func parseNumber(text string) (*apd.Decimal, error) {
	d, _, err := apd.NewFromString(text)
	return d, err
}

// back returns the mark that lies as far before m as the overlap says; ok is false where m has no such thing: a text that is no time,
// a number and no overlap in numbers. Then m itself is what the service is asked with.
func (m Mark) back(o Overlap) (before Mark, ok bool) {
	if m.Number {
		a, err := parseNumber(m.Text)
		if o.Amount == 0 || err != nil {
			return m, false
		}
		var d apd.Decimal
		if _, err := apd.BaseContext.Sub(&d, a, apd.New(o.Amount, 0)); err != nil {
			return m, false
		}
		return Mark{d.Text('f'), true}, true
	}
	t, layout, ok := parseTime(m.Text)
	if !ok {
		return m, false
	}
	return Mark{Text: t.Add(-o.Time).Format(layout)}, true
}

// Overlap is how far behind the watermark the service is asked again, for what it shows late and for what it shows twice.
type Overlap struct {
	// Time is for watermarks that are times, Amount for numbers.
	Time   time.Duration
	Amount int64
}

// DefaultOverlap is for watermarks that are times: services answer from copies that are behind, and have several clocks. What is asked
// for twice costs no event.
var DefaultOverlap = Overlap{Time: time.Minute}

var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d(?:([T ])\d\d:\d\d(:\d\d(?:[.,](\d{1,9}))?)?( ?)(Z|[+-]\d\d(?::?\d\d)?)?)?$`)

// parseTime reads a time of ISO 8601 as services write them, and returns the layout that writes it so. One without a zone is taken as
// UTC, which does not matter to who only compares and subtracts.
func parseTime(text string) (t time.Time, layout string, ok bool) {
	m := timeForm.FindStringSubmatch(text)
	if m == nil {
		return t, "", false
	}
	layout = time.DateOnly
	if m[1] != "" {
		layout += m[1] + "15:04"
		if m[2] != "" {
			layout += ":05"
		}
		if m[3] != "" {
			layout += m[2][3:4] + strings.Repeat("0", len(m[3]))
		}
		layout += m[4]
		switch {
		case m[5] == "Z":
			layout += "Z07:00"
		case len(m[5]) == len("+07"):
			layout += "-07"
		case strings.Contains(m[5], ":"):
			layout += "-07:00"
		case m[5] != "":
			layout += "-0700"
		}
	}
	t, err := time.Parse(layout, text)
	return t, layout, err == nil && t.Format(layout) == text // not so is an offset of 60 minutes and no hour
}

// ahead reports whether the mark is a time that the clock has not reached.
func (m Mark) ahead(now time.Time) bool {
	if m.Number {
		return false
	}
	t, layout, ok := parseTime(m.Text)
	if !ok {
		return false
	}
	if !zoned(layout) {
		now = now.Add(14 * time.Hour) // somebody may write his own
	}
	return t.After(now.Add(time.Minute))
}

// time is the mark as an instant. One without a zone is nobody's for sure.
func (m Mark) time() (time.Time, bool) {
	if m.Number {
		return time.Time{}, false
	}
	t, layout, ok := parseTime(m.Text)
	return t.UTC(), ok && zoned(layout)
}

func zoned(layout string) bool { return strings.Contains(layout, "07") }
