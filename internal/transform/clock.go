package transform

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a machine without zone files (an empty container) knows the zones all the same

	"syncline"
	"syncline/internal/expression"
)

var (
	errNotWritten = errors.New("it is not written in this layout")
	errNoMoment   = errors.New("it is no date and no time from year 1 to 9999")
	errSkipped    = errors.New("clocks in this zone were never set to this time")
)

// clock writes and reads dates and times in a layout of strftime's letters and in a zone. Without a layout the kinds' own forms are
// read; without a zone everything is UTC.
type clock struct {
	layout string
	tokens []token
	zone   *time.Location
}

// token is a piece of a layout: one letter behind a percent sign, or literal text.
type token struct {
	letter  byte
	literal string
}

// letters are what a layout can hold, each with its form for time.Format and the digits that it reads, 0 for names and zones.
var letters = map[byte]struct {
	format string
	digits int
}{
	'Y': {"2006", 4}, 'y': {"06", 2}, 'm': {"01", 2}, 'd': {"02", 2}, 'e': {"_2", 2}, 'j': {"002", 3}, 'H': {"15", 2}, 'I': {"03", 2}, 'M': {"04", 2}, 'S': {"05", 2},
	'L': {".000", 3}, 'f': {".000000", 6}, 'p': {"PM", 0}, 'b': {"Jan", 0}, 'B': {"January", 0}, 'a': {"Mon", 0}, 'A': {"Monday", 0},
	'z': {"-0700", 0}, ':': {"-07:00", 0}, 'Z': {"MST", 0}, 's': {"", 0},
}

func newClock(layout, zone string) (*clock, error) {
	c := &clock{layout: layout, zone: time.UTC}
	if zone != "" {
		loc, err := time.LoadLocation(zone)
		if err != nil || zone == "Local" {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "there is no time zone %q", zone).WithFix("a name of the IANA list: Europe/Berlin, America/New_York, UTC")
		}
		c.zone = loc
	}
	for rest := layout; rest != ""; {
		i := strings.IndexByte(rest, '%')
		if i < 0 {
			i = len(rest)
		}
		if i > 0 {
			c.tokens = append(c.tokens, token{literal: rest[:i]})
			rest = rest[i:]
			continue
		}
		letter := byte(0)
		if len(rest) > 1 {
			letter = rest[1]
		}
		_, known := letters[letter]
		switch {
		case letter == '%':
			c.tokens = append(c.tokens, token{literal: "%"})
		case !known || letter == ':' && !strings.HasPrefix(rest, "%:z"):
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "the layout %q has a percent sign without a letter that is known", layout).
				WithFix("%%Y-%%m-%%d %%H:%%M:%%S, %%f microseconds, %%z zone as +0100, %%:z as +01:00, %%b and %%B months, %%s seconds since 1970, %%%% a percent sign")
		default:
			c.tokens = append(c.tokens, token{letter: letter})
			if letter == ':' {
				rest = rest[1:]
			}
		}
		rest = rest[2:]
	}
	return c, nil
}

func (c *clock) String() string {
	return fmt.Sprintf("%q %s", c.layout, c.zone)
}

// write returns the value in the layout.
func (c *clock) write(v syncline.Value, elem syncline.Kind) (string, error) {
	var t time.Time
	var err error
	switch v.Kind() {
	case syncline.KindTime:
		if t, err = time.Parse("15:04:05.999999", v.Text()); err != nil {
			return "", errNoMoment
		}
	case syncline.KindDate, syncline.KindTimestamp:
		t, err = v.AsTime()
	default:
		if v, err = expression.Convert(v, elem, syncline.KindTimestampTZ); err == nil {
			t, err = v.AsTime()
		}
		t = t.In(c.zone)
	}
	if err != nil {
		return "", errNoMoment
	}
	var b []byte
	for _, k := range c.tokens {
		switch k.letter {
		case 0:
			b = append(b, k.literal...)
		case 's':
			b = strconv.AppendInt(b, t.Unix(), 10)
		case 'L', 'f':
			b = append(b, t.Format(letters[k.letter].format)[1:]...)
		default:
			b = t.AppendFormat(b, letters[k.letter].format)
		}
	}
	return string(b), nil
}

// read makes a value of a kind of text in the layout, or of a time with or without a zone.
func (c *clock) read(v syncline.Value, to syncline.Kind) (syncline.Value, error) {
	from := v.Kind()
	if from == to {
		return v, nil
	}
	t, zoned, err := c.moment(v)
	if err == nil && isTime(from) && (from == syncline.KindTime || to == syncline.KindTime) && from != syncline.KindTimestamp && from != syncline.KindTimestampTZ {
		err = fmt.Errorf("a value of kind %s cannot become %s", from, to)
	}
	if err != nil {
		return v, err
	}
	switch {
	case to == syncline.KindTimestampTZ && !zoned:
		if t, err = c.instant(t); err != nil {
			return v, err
		}
	case zoned && to != syncline.KindTimestampTZ:
		t = t.In(c.zone)
	}
	switch to {
	case syncline.KindTime:
		return syncline.Raw(to, t.AppendFormat(nil, "15:04:05.999999")), nil
	case syncline.KindDate:
		return syncline.Raw(to, t.AppendFormat(nil, "2006-01-02")), nil
	case syncline.KindTimestamp:
		return syncline.Raw(to, t.AppendFormat(nil, "2006-01-02 15:04:05.999999")), nil
	}
	return syncline.TimestampTZ(t), nil
}

// moment is the time that a value says. zoned: it is an instant, else what clocks in the zone show.
func (c *clock) moment(v syncline.Value) (t time.Time, zoned bool, err error) {
	switch v.Kind() {
	case syncline.KindDate, syncline.KindTimestamp, syncline.KindTimestampTZ:
		if t, err = v.AsTime(); err != nil {
			err = errNoMoment
		}
		return t, v.Kind() == syncline.KindTimestampTZ, err
	case syncline.KindText, syncline.KindRaw, syncline.KindInt, syncline.KindUint:
		if c.layout != "" {
			return c.parse(v.Text())
		}
		text := v.Text()
		out, err := expression.Convert(v, syncline.KindNull, syncline.KindTimestampTZ)
		if err != nil {
			return t, false, errNotWritten
		}
		t, err = out.AsTime()
		zoned = strings.ContainsAny(text, "Zz") || len(text) > len("2006-01-02") && strings.ContainsAny(text[len("2006-01-02"):], "+-")
		return t, zoned, err
	}
	return t, false, errNoMoment
}

// instant is when clocks in the zone show the time; the first of two where they were set back.
func (c *clock) instant(local time.Time) (time.Time, error) {
	var found time.Time
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := local.Add(near).In(c.zone).Zone()
		t := local.Add(-time.Duration(offset) * time.Second)
		if _, now := t.In(c.zone).Zone(); now == offset && (found.IsZero() || t.Before(found)) {
			found = t
		}
	}
	if found.IsZero() {
		return found, errSkipped
	}
	return found, nil
}

// parse reads text that is written exactly in the layout. zoned: the text says which zone, or counts seconds since 1970.
func (c *clock) parse(text string) (t time.Time, zoned bool, err error) {
	// What was read is put together again in a layout that time.Parse has, so that it checks days and hours.
	var layout, value strings.Builder
	rest := text
	for _, k := range c.tokens {
		switch k.letter {
		case 0:
			var ok bool
			if rest, ok = strings.CutPrefix(rest, k.literal); !ok {
				return t, false, errNotWritten
			}
			continue
		case 's':
			n := digits(strings.TrimPrefix(rest, "-"), 12)
			if strings.HasPrefix(rest, "-") {
				n++
			}
			seconds, err := strconv.ParseInt(rest[:n], 10, 64)
			if err != nil || len(c.tokens) > 1 {
				return t, false, errNotWritten
			}
			if t = time.Unix(seconds, 0).UTC(); n < len(rest) || t.Year() < 1 || t.Year() > 9999 {
				return t, false, errNotWritten
			}
			return t, true, nil
		}
		l := letters[k.letter]
		n := l.digits
		switch {
		case n > 0 && k.letter == 'e':
			rest = strings.TrimPrefix(rest, " ")
			n = digits(rest, 2)
		case n > 0:
			if digits(rest, n) < n {
				return t, false, errNotWritten
			}
		case k.letter == 'z' || k.letter == ':':
			zoned = true
			if after, ok := strings.CutPrefix(rest, "Z"); ok {
				rest = after
				continue
			}
			n = len(l.format)
		default:
			n = word(rest)
		}
		if n == 0 || n > len(rest) {
			return t, false, errNotWritten
		}
		part := rest[:n]
		rest = rest[n:]
		switch k.letter {
		case 'Z':
			if part != "UTC" && part != "GMT" && part != "Z" {
				return t, false, errNotWritten // other short names mean different zones to different people
			}
			zoned = true
			continue
		case 'e':
			part = fmt.Sprintf("%2s", part)
		case 'L', 'f':
			part = "." + part
		}
		if k.letter != 'L' && k.letter != 'f' {
			layout.WriteByte(' ')
			value.WriteByte(' ')
		}
		layout.WriteString(l.format)
		value.WriteString(part)
	}
	if rest != "" {
		return t, false, errNotWritten
	}
	if t, err = time.Parse(layout.String(), value.String()); err != nil || t.Year() < 0 {
		return t, false, errNotWritten
	}
	return t.UTC(), zoned, nil
}

// digits is how many of the first n bytes are digits, in a row.
func digits(s string, n int) int {
	i := 0
	for i < len(s) && i < n && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}

// word is how many of the first bytes are letters.
func word(s string) int {
	i := 0
	for i < len(s) && (s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z') {
		i++
	}
	return i
}
