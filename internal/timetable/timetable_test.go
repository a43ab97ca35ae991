package timetable

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func table(t *testing.T, s Spec) *Table {
	t.Helper()
	got, err := New(s)
	if err != nil {
		t.Fatalf("New(%+v) = %v", s, err)
	}
	return got
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestNext tells what becomes of times that the clocks skip or show twice, of rhythms through both, and of plain days.
func TestNext(t *testing.T) {
	for _, c := range []struct {
		name, cron, zone, from string
		want                   []string
	}{
		{"six fields", "*/20 59 23 * * *", "", "2026-01-01T00:00:00Z", []string{"2026-01-01T23:59:00Z", "2026-01-01T23:59:20Z", "2026-01-01T23:59:40Z", "2026-01-02T23:59:00Z"}},
		{"five fields", "30 2 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z", []string{"2026-01-01T02:30:00+01:00", "2026-01-02T02:30:00+01:00"}},
		{"a moment itself is not after it", "30 2 * * *", "", "2026-01-01T02:30:00Z", []string{"2026-01-02T02:30:00Z"}},
		{"skipped in spring: once, when it is skipped", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"several that are skipped are one", "*/10 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00", "2026-03-30T02:10:00+02:00"}},
		{"skipped, and there beside it", "30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"shown twice in autumn: the first time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"shown twice, asked between the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", []string{"2026-10-26T02:30:00+01:00"}},
		{"shown twice, asked in the second pass", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:15:00Z", []string{"2026-10-26T02:30:00+01:00"}},
		{"every hour goes on through the spring", "30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-03-29T04:30:00+02:00"}},
		{"every hour goes on through the autumn", "0 30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"}},
		{"the hour of the change itself", "0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},
		{"a change of half an hour: the hour that is skipped", "0 * * * *", "Australia/Lord_Howe", "2026-10-03T15:00:00Z",
			[]string{"2026-10-04T03:00:00+11:00", "2026-10-04T04:00:00+11:00"}},
		{"midnight that is skipped", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"midnight that is shown twice", "0 0 * * *", "America/Havana", "2026-10-31T12:00:00Z",
			[]string{"2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"}},
		{"half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"half an hour that is shown twice", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z",
			[]string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		{"a day that is skipped", "0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z",
			[]string{"2011-12-31T00:00:00+14:00", "2012-12-30T12:00:00+14:00"}},
		{"a leap day", "0 0 29 2 *", "", "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
		{"either day", "0 0 13 * fri", "", "2026-02-01T00:00:00Z", []string{"2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z"}},
		{"daily", "@daily", "Asia/Shanghai", "2026-02-01T00:00:00Z", []string{"2026-02-02T00:00:00+08:00"}},
		{"the shortest interval", "@every 1s", "", "2026-02-01T00:00:00Z", []string{"2026-02-01T00:00:01Z"}},
		{"every", "@every 90m", "", "2026-02-01T00:00:00Z", []string{"2026-02-01T01:30:00Z", "2026-02-01T03:00:00Z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := table(t, Spec{Cron: c.cron, Zone: c.zone})
			var got []string
			now := at(t, c.from)
			for range c.want {
				now = tab.Next(now)
				got = append(got, now.Format(time.RFC3339))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Next (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEachLocalTimeOccursOnce: whatever the clocks do, each face of a named time is met once a day, and moments only grow.
func TestEachLocalTimeOccursOnce(t *testing.T) {
	zones := []string{"Europe/Berlin", "America/New_York", "America/Havana", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Gaza", "Asia/Beirut", "Pacific/Chatham", "UTC"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		zone := zones[r.IntN(len(zones))]
		hour, minute := r.IntN(24), r.IntN(60)
		tab := table(t, Spec{Cron: strings.Join([]string{itoa(minute), itoa(hour), "* * *"}, " "), Zone: zone})
		now := time.Date(2018+r.IntN(8), 1, 1, 12, 0, 0, 0, tab.Zone())
		end := now.AddDate(1, 0, 0)
		days := 0
		for {
			next := tab.Next(now)
			if !next.After(now) {
				t.Fatalf("%s %02d:%02d: Next(%s) = %s, which is not after it", zone, hour, minute, now, next)
			}
			if next.After(end) {
				break
			}
			days++
			now = next
		}
		want := int(end.Sub(time.Date(end.Year()-1, 1, 1, 12, 0, 0, 0, tab.Zone())).Round(24*time.Hour) / (24 * time.Hour))
		if days != want {
			t.Errorf("%s %02d:%02d: %d occurrences in the year to %s, want %d", zone, hour, minute, days, end, want)
		}
	}
}

func itoa(n int) string { return string(rune('0'+n/10)) + string(rune('0'+n%10)) }

func TestSpecsThatAreWrong(t *testing.T) {
	for _, c := range []struct {
		spec   Spec
		part   Part
		offset int
		want   string
	}{
		{Spec{Cron: "61 * * * *"}, PartCron, 0, "minute of the cron expression"},
		{Spec{Cron: "0  25 * * *"}, PartCron, 3, "hour of the cron expression"},
		{Spec{Cron: "0 0 0 * * 7"}, PartCron, 10, "day of week of the cron expression"},
		{Spec{Cron: "60 0 0 * * *"}, PartCron, 0, "second of the cron expression"},
		{Spec{Cron: "0 0 L * *"}, PartCron, 4, "day of month of the cron expression"},
		{Spec{Cron: "0 0 * , *"}, PartCron, 6, "month of the cron expression names nothing"},
		{Spec{Cron: "* * * *"}, PartCron, 0, "has 4 fields"},
		{Spec{Cron: "0 0 30 2 *"}, PartCron, 0, "never fires"},
		{Spec{Cron: "@nightly"}, PartCron, 0, `there is no "@nightly"`},
		{Spec{Cron: "@every soon"}, PartCron, 7, `"soon" is no duration`},
		{Spec{Cron: "@every 500ms"}, PartCron, 0, "below 1s"},
		{Spec{Cron: "CRON_TZ=Europe/Berlin 0 0 * * *"}, PartCron, 0, "the time zone stands in the cron expression"},
		{Spec{Every: 999 * time.Millisecond}, PartEvery, 0, "below 1s"},
		{Spec{Cron: "0 0 * * *", Zone: "Europe/Berlino"}, PartZone, 0, `no time zone "Europe/Berlino"`},
		{Spec{Cron: "0 0 * * *", Zone: "Local"}, PartZone, 0, "Local is no time zone"},
		{Spec{Cron: "0 0 * * *", Zone: "../../etc/passwd"}, PartZone, 0, "no time zone"},
		{Spec{Every: time.Minute, Jitter: time.Minute}, PartJitter, 0, "not below the time between"},
		{Spec{Cron: "*/5 * * * *", Jitter: 5 * time.Minute}, PartJitter, 0, "not below the time between"},
	} {
		_, err := New(c.spec)
		var e *Error
		if !errors.As(err, &e) || e.Part != c.part || e.Offset != c.offset || !strings.Contains(e.Msg, c.want) {
			t.Errorf("New(%+v) = %+v, want %s at %d: %s", c.spec, e, c.part, c.offset, c.want)
		}
	}
}

// TestJitter: an occurrence has one jitter, whoever asks and whenever; occurrences and schedules differ in theirs.
func TestJitter(t *testing.T) {
	tab := table(t, Spec{Every: time.Hour, Jitter: 10 * time.Minute})
	base := at(t, "2026-01-01T00:00:00Z")
	seen := map[time.Duration]bool{}
	var sum time.Duration
	const n = 1000
	for i := range n {
		occurrence := base.Add(time.Duration(i) * time.Hour)
		j := tab.Due("a", occurrence).Sub(occurrence)
		if j < 0 || j >= 10*time.Minute {
			t.Fatalf("jitter %s is not from 0 to 10m", j)
		}
		if again := tab.Due("a", occurrence.In(time.FixedZone("x", 3600))); !again.Equal(occurrence.Add(j)) {
			t.Fatalf("jitter of one occurrence is %s, then %s", j, again.Sub(occurrence))
		}
		if tab.Due("b", occurrence).Sub(occurrence) == j {
			t.Errorf("two schedules have one jitter: %s", j)
		}
		seen[j], sum = true, sum+j
	}
	if mean := sum / n; len(seen) < n-5 || mean < 4*time.Minute || mean > 6*time.Minute {
		t.Errorf("jitter is not spread: %d different, mean %s", len(seen), mean)
	}
}

func FuzzNew(f *testing.F) {
	f.Add("0 30 2 * * *", "Europe/Berlin")
	f.Add("@every 1h", "")
	f.Add("TZ=", "x")
	f.Add("1-2/3,*/4 ? ? ? ?", "UTC")
	f.Fuzz(func(t *testing.T, cron, zone string) {
		tab, err := New(Spec{Cron: cron, Zone: zone, Jitter: 1})
		if err != nil {
			return
		}
		now := anyDay
		for range 5 {
			next := tab.Next(now)
			if !next.After(now) {
				t.Fatalf("Next(%s) of %q in %q = %s", now, cron, zone, next)
			}
			now = next
		}
	})
}
