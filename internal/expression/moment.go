package expression

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"syncline"
)

// moment is a date, a timestamp or a timestamp with zone; those without a zone are taken as UTC. Every value that
// PostgreSQL has can be held: years before Christ, five-digit years and the infinities.
type moment struct {
	kind syncline.Kind
	// infinite is 1 or -1 for the infinities, whose t is zero.
	infinite int
	t        time.Time
}

// parseMoment reads the text form of the kind.
func parseMoment(kind syncline.Kind, text string) (moment, error) {
	m := moment{kind: kind}
	switch text {
	case "infinity":
		m.infinite = 1
		return m, nil
	case "-infinity":
		m.infinite = -1
		return m, nil
	}
	bad := fmt.Errorf("%w: no %s", errInvalid, kind)
	text, bc := strings.CutSuffix(text, " BC")
	digits, rest, ok := strings.Cut(text, "-")
	year, err := strconv.Atoi(digits)
	if !ok || err != nil || len(digits) < 4 || year < 1 || year > 300_000 {
		return m, bad
	}
	if bc {
		year = 1 - year
	}
	layout := "01-02"
	switch kind {
	case syncline.KindTimestamp:
		layout = "01-02 15:04:05.999999"
	case syncline.KindTimestampTZ:
		layout = "01-02 15:04:05.999999Z07"
		if zone := strings.LastIndexAny(rest, "+-"); zone > len("01-02") && strings.Contains(rest[zone:], ":") {
			layout = "01-02 15:04:05.999999Z07:00"
		}
	}
	// The year 2000 is a leap year, so that every day of a year can be read; the day is checked against the real one.
	t, err := time.Parse("2006-"+layout, "2000-"+rest)
	if err != nil {
		return m, bad
	}
	_, month, day := t.Date()
	m.t = time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location()).UTC()
	if month == time.February && day == 29 && time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Month() != month {
		return m, bad
	}
	return m, nil
}

// readMoment reads what a person may write: a date, or a date and a time with a T or a blank, with or without a zone.
func readMoment(kind syncline.Kind, text string) (moment, error) {
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", time.RFC3339Nano,
		"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return moment{kind: kind, t: t.UTC()}, nil
		}
	}
	return parseMoment(kind, text)
}

// Instant returns when a date or a time is, or one that is written as text; without a zone it is taken as UTC. The infinities are none.
func Instant(v syncline.Value) (time.Time, error) {
	var m moment
	var err error
	switch k := v.Kind(); k {
	case syncline.KindDate, syncline.KindTimestamp, syncline.KindTimestampTZ:
		m, err = parseMoment(k, v.Text())
	case syncline.KindText:
		m, err = readMoment(syncline.KindTimestampTZ, v.Text())
	default:
		return time.Time{}, fmt.Errorf("%w: %s is no time", errInvalid, k)
	}
	if err == nil && m.infinite != 0 {
		err = fmt.Errorf("%w: no instant", errInvalid)
	}
	return m.t, err
}

// String writes the text form of the kind.
func (m moment) String() string {
	switch m.infinite {
	case 1:
		return "infinity"
	case -1:
		return "-infinity"
	}
	year, bc := m.t.Year(), ""
	if year < 1 {
		year, bc = 1-year, " BC"
	}
	layout := "-01-02"
	switch m.kind {
	case syncline.KindTimestamp:
		layout = "-01-02 15:04:05.999999"
	case syncline.KindTimestampTZ:
		layout = "-01-02 15:04:05.999999-07"
	}
	return fmt.Sprintf("%04d%s%s", year, m.t.Format(layout), bc)
}

// compare orders by the instant.
func (m moment) compare(o moment) int {
	if m.infinite != 0 || o.infinite != 0 {
		return cmp.Compare(m.infinite, o.infinite)
	}
	return m.t.Compare(o.t)
}
