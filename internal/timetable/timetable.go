// Package timetable says when something is due: by a cron expression in a time zone, or after a fixed interval. It is pure; the time
// zones are part of the program, so that a machine without any knows them.
package timetable

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	_ "time/tzdata" // a bare machine has no time zones

	"github.com/robfig/cron/v3"
)

// Spec is a timetable as it is written. Either Cron or Every is given.
type Spec struct {
	// Cron has five fields (minute, hour, day of month, month, day of week) or six, with the second before them; or is one of
	// @yearly, @monthly, @weekly, @daily, @hourly and @every DURATION.
	Cron  string
	Every time.Duration
	// Zone is an IANA name; "" = UTC.
	Zone string
	// Jitter bounds how long after its time an occurrence is due.
	Jitter time.Duration
}

// Table tells the occurrences of a timetable.
type Table struct {
	// every is the interval, or 0 for a cron expression.
	every  time.Duration
	spec   *cron.SpecSchedule
	zone   *time.Location
	jitter time.Duration
}

// Least is the shortest interval.
const Least = time.Second

// Error says what is wrong with a Spec.
type Error struct {
	// Part is the part of the Spec that is wrong.
	Part Part
	// Offset is where in the text of Cron, in bytes; 0 elsewhere.
	Offset int
	Msg    string
	// Fix says what to write instead; may be empty.
	Fix string
}

// Part is a part of a Spec.
type Part string

// The parts that can be wrong.
const (
	PartCron   Part = "cron"
	PartEvery  Part = "every"
	PartZone   Part = "timezone"
	PartJitter Part = "jitter"
)

func (e *Error) Error() string { return e.Msg }

// New reads a timetable. Its error is an *Error.
func New(s Spec) (*Table, error) {
	t := &Table{every: s.Every, zone: time.UTC, jitter: s.Jitter}
	if err := t.setZone(s.Zone); err != nil {
		return nil, err
	}
	if s.Cron != "" {
		if err := t.setCron(s.Cron); err != nil {
			return nil, err
		}
	}
	if t.spec == nil && t.every < Least {
		part := PartEvery
		if s.Cron != "" {
			part = PartCron
		}
		return nil, &Error{Part: part, Msg: fmt.Sprintf("the interval is below %s", Least), Fix: "1s is the least"}
	}
	return t, t.checkJitter()
}

func (t *Table) setZone(name string) error {
	switch name {
	case "", "UTC":
		return nil
	case "Local": // what it means depends on the machine
		return &Error{Part: PartZone, Msg: "Local is no time zone", Fix: "an IANA name like Europe/Berlin, Asia/Shanghai or UTC"}
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return &Error{Part: PartZone, Msg: fmt.Sprintf("there is no time zone %q", name), Fix: "an IANA name like Europe/Berlin, Asia/Shanghai or UTC"}
	}
	t.zone = zone
	return nil
}

// soon is how many occurrences are looked at for how close they are.
const soon = 50

// checkJitter refuses what would let one occurrence be due after the next one.
func (t *Table) checkJitter() error {
	if t.jitter < 0 {
		return &Error{Part: PartJitter, Msg: "jitter is below 0"}
	}
	shortest := t.every
	if t.spec != nil {
		at := t.Next(anyDay)
		for range soon {
			next := t.Next(at)
			if d := next.Sub(at); !next.IsZero() && (shortest == 0 || d < shortest) {
				shortest = d
			}
			at = next
		}
	}
	if t.jitter > 0 && t.jitter >= shortest {
		return &Error{Part: PartJitter, Msg: fmt.Sprintf("jitter is not below the time between two occurrences (%s)", shortest), Fix: "make it shorter"}
	}
	return nil
}

// Zone is the time zone in which the occurrences are reckoned.
func (t *Table) Zone() *time.Location { return t.zone }

// Next returns the first occurrence after a moment; zero where there is none.
//
// A cron expression that does not name every hour is one of local times: one that the clocks skip in spring occurs at the moment they
// skip it, one that they show twice in autumn occurs the first time. One that names every hour is a rhythm, and goes on through both.
func (t *Table) Next(after time.Time) time.Time {
	switch {
	case t.spec == nil:
		return after.Add(t.every)
	case t.spec.Hour&everyHour == everyHour:
		return t.nextInRhythm(after)
	}
	return t.nextLocal(after)
}

// Due returns when an occurrence is due: with its jitter, which is always the same for one id and one occurrence.
func (t *Table) Due(id string, occurrence time.Time) time.Time {
	if t.jitter <= 0 || occurrence.IsZero() {
		return occurrence
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", id, occurrence.Unix()) //nolint:errcheck // a hash takes everything
	return occurrence.Add(time.Duration(mix(h.Sum64()) % uint64(t.jitter)))
}

// mix spreads what differs in the last bytes only over all bits: the finalizer of MurmurHash3.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// everyHour are the bits of all hours of a cron expression.
const everyHour = 1<<24 - 1

// anyDay is a day at which to begin where every day would do: the same one for every program.
var anyDay = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// field is one of a cron expression.
type field struct {
	name   string
	option cron.ParseOption
	hint   string
}

var fields = []field{
	{"second", cron.Second, "0 to 59"},
	{"minute", cron.Minute, "0 to 59"},
	{"hour", cron.Hour, "0 to 23"},
	{"day of month", cron.Dom, "1 to 31"},
	{"month", cron.Month, "1 to 12, or jan to dec"},
	{"day of week", cron.Dow, "0 (Sunday) to 6, or sun to sat"},
}

const form = `five fields (minute, hour, day of month, month, day of week), or six with the second before them: "0 30 2 * * *"`

func (t *Table) setCron(text string) error {
	bad := func(offset int, fix, format string, args ...any) error {
		return &Error{Part: PartCron, Offset: offset, Msg: fmt.Sprintf(format, args...), Fix: fix}
	}
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "@") {
		return t.setDescriptor(trimmed, bad)
	}
	if strings.Contains(text, "TZ=") {
		return bad(0, "write the zone below timezone", "the time zone stands in the cron expression")
	}
	words, at := split(text)
	known := fields
	if len(words) == len(fields)-1 {
		known = fields[1:]
	}
	if len(words) != len(known) {
		return bad(0, form, "the cron expression has %d fields", len(words))
	}
	full := []string{"0", "*", "*", "*", "*", "*"}
	for i, f := range known {
		alone, err := cron.NewParser(f.option).Parse(words[i])
		if err != nil {
			return bad(at[i], f.hint, "%s of the cron expression: %s", f.name, err)
		}
		if strings.Trim(words[i], ",") != words[i] || bits(alone.(*cron.SpecSchedule), f.option) == 0 {
			return bad(at[i], f.hint, "%s of the cron expression names nothing", f.name)
		}
		full[len(fields)-len(known)+i] = words[i]
	}
	return t.parse(strings.Join(full, " "), bad)
}

// setDescriptor reads what begins with @.
func (t *Table) setDescriptor(text string, bad func(int, string, string, ...any) error) error {
	if length, ok := strings.CutPrefix(text, "@every "); ok {
		every, err := time.ParseDuration(strings.TrimSpace(length))
		if err != nil {
			return bad(len("@every "), "@every 15m", "%q is no duration", strings.TrimSpace(length))
		}
		t.every = every
		return nil
	}
	if _, err := cron.NewParser(cron.Descriptor).Parse(text); err != nil {
		return bad(0, "@yearly, @monthly, @weekly, @daily, @hourly or @every 15m", "there is no %q", text)
	}
	return t.parse(text, bad)
}

func (t *Table) parse(text string, bad func(int, string, string, ...any) error) error {
	parsed, err := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse(text)
	if err != nil {
		return bad(0, form, "%s", err)
	}
	t.spec = parsed.(*cron.SpecSchedule)
	t.spec.Location = time.UTC
	if t.Next(anyDay).IsZero() {
		return bad(0, "a day that its month has", "the cron expression never fires")
	}
	return nil
}

func bits(s *cron.SpecSchedule, option cron.ParseOption) uint64 {
	const star = 1 << 63
	switch option {
	case cron.Second:
		return s.Second &^ star
	case cron.Minute:
		return s.Minute &^ star
	case cron.Hour:
		return s.Hour &^ star
	case cron.Dom:
		return s.Dom &^ star
	case cron.Month:
		return s.Month &^ star
	}
	return s.Dow &^ star
}

// split returns the words of a text and where each begins.
func split(text string) (words []string, at []int) {
	for rest, offset := text, 0; ; {
		trimmed := strings.TrimLeft(rest, " \t\r\n")
		offset += len(rest) - len(trimmed)
		if trimmed == "" {
			return words, at
		}
		end := strings.IndexAny(trimmed, " \t\r\n")
		if end < 0 {
			end = len(trimmed)
		}
		words, at = append(words, trimmed[:end]), append(at, offset)
		rest, offset = trimmed[end:], offset+end
	}
}
