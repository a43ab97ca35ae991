package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// world steps through time, and forgets between two steps what is not written down.
type world struct {
	t        testing.TB
	rules    []*Rule
	silences []Silence
	now      time.Time
	settling bool
	written  []byte // the instances
	told     []Message
}

func newWorld(t testing.TB, specs ...Spec) *world {
	w := &world{t: t, now: start, written: []byte("{}")}
	w.configure(specs...)
	return w
}

func (w *world) configure(specs ...Spec) {
	w.rules = nil
	for _, s := range specs {
		r, err := Compile(s)
		if err != nil {
			w.t.Fatal(err)
		}
		w.rules = append(w.rules, r)
	}
}

// after lets time pass and then shows the rules these signals. It returns what was told, one line for each message.
func (w *world) after(d time.Duration, signals ...Signal) string {
	w.now = w.now.Add(d)
	was := make(map[string]Instance)
	if err := json.Unmarshal(w.written, &was); err != nil {
		w.t.Fatal(err)
	}
	out := Step(was, Input{Rules: w.rules, Silences: w.silences, Signals: signals, Now: w.now, Settling: w.settling})
	for rule, err := range out.Failed {
		w.t.Errorf("%s failed: %v", rule, err)
	}
	var err error
	if w.written, err = json.Marshal(out.Instances); err != nil {
		w.t.Fatal(err)
	}
	w.told = append(w.told, out.Messages...)
	var lines []string
	for _, m := range out.Messages {
		var about []string
		for _, a := range m.Alerts {
			about = append(about, LabelText(a.Labels))
		}
		lines = append(lines, fmt.Sprintf("%s %s [%s] of %d", m.What, m.Rule, strings.Join(about, "; "), m.Firing))
	}
	return strings.Join(lines, "\n")
}

func lag(route string, seconds float64) Signal {
	return Signal{Name: "lag_seconds", Labels: map[string]string{"route": route}, Value: seconds}
}

var lagging = Spec{Name: "lagging", When: "lag_seconds > 300", For: time.Minute, Severity: Warning, Repeat: 4 * time.Hour, Send: []string{"ops"}, Enabled: true}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: told = %q, want %q", what, got, want)
	}
}

// TestOneMessagePerChange: a rule fires once its condition has held for its time, and is over with one message; what did not hold for
// long enough is never told.
func TestOneMessagePerChange(t *testing.T) {
	w := newWorld(t, lagging)
	expect(t, "short", w.after(0, lag("a", 301)), "")
	expect(t, "it was too short", w.after(30*time.Second, lag("a", 300)), "")
	expect(t, "again", w.after(10*time.Second, lag("a", 301)), "")
	expect(t, "not yet", w.after(59*time.Second, lag("a", 400)), "")
	expect(t, "long enough", w.after(time.Second, lag("a", 400)), "firing lagging [route=a] of 1")
	expect(t, "still", w.after(2*time.Minute, lag("a", 900)), "")
	expect(t, "over", w.after(time.Minute, lag("a", 3)), "resolved lagging [route=a] of 0")
	expect(t, "still over", w.after(time.Minute, lag("a", 3)), "")
	want := Alert{Labels: map[string]string{"route": "a"}, Values: map[string]float64{"lag_seconds": 900}, Since: start.Add(40 * time.Second)}
	end := start.Add(280 * time.Second)
	want.Ended = &end
	if diff := cmp.Diff([]Alert{want}, w.told[1].Alerts); diff != "" {
		t.Errorf("the recovery (-want +got):\n%s", diff)
	}
	if got := w.after(2*time.Hour, lag("a", 3)); got != "" || string(w.written) != "{}" {
		t.Errorf("long after it was over, %s is remembered", w.written)
	}
}

// TestMessagesAreGrouped: what changes at once is one message of a rule, and what changes right after it waits for the next.
func TestMessagesAreGrouped(t *testing.T) {
	now := lagging
	now.For = 0
	w := newWorld(t, now)
	expect(t, "two at once", w.after(0, lag("a", 500), lag("b", 500), lag("c", 1)), "firing lagging [route=a; route=b] of 2")
	expect(t, "right after", w.after(10*time.Second, lag("a", 1), lag("b", 500), lag("c", 500)), "")
	expect(t, "and back: no news", w.after(10*time.Second, lag("a", 500), lag("b", 500), lag("c", 500), lag("d", 500)), "")
	expect(t, "gathered", w.after(40*time.Second, lag("a", 500), lag("b", 500), lag("c", 500), lag("d", 500)), "firing lagging [route=c; route=d] of 4")
	expect(t, "a route that is gone", w.after(time.Minute, lag("a", 1)), "resolved lagging [route=a; route=b; route=c; route=d] of 0")
	var many []Signal
	for i := range 2 * maxListed {
		many = append(many, lag(fmt.Sprintf("r%03d", i), 999))
	}
	w.after(time.Hour, many...)
	if m := w.told[len(w.told)-1]; len(m.Alerts) != maxListed || m.More != maxListed || m.Firing != 2*maxListed {
		t.Errorf("a message lists %d and %d more of %d", len(m.Alerts), m.More, m.Firing)
	}
}

// TestReminders: what goes on firing is told again after the rule's repeat, all of the rule together; 0 is never.
func TestReminders(t *testing.T) {
	w := newWorld(t, lagging)
	w.after(0, lag("a", 500))
	expect(t, "a", w.after(time.Minute, lag("a", 500), lag("b", 500)), "firing lagging [route=a] of 1")
	expect(t, "b", w.after(time.Hour, lag("a", 500), lag("b", 500)), "firing lagging [route=b] of 2")
	expect(t, "not yet", w.after(3*time.Hour-time.Second, lag("a", 500), lag("b", 500)), "")
	expect(t, "both", w.after(time.Second, lag("a", 500), lag("b", 500)), "reminder lagging [route=a; route=b] of 2")
	expect(t, "not so soon", w.after(time.Hour, lag("a", 500), lag("b", 500)), "")
	never := lagging
	never.Repeat = 0
	w.configure(never)
	expect(t, "never", w.after(1000*time.Hour, lag("a", 500), lag("b", 500)), "")
}

// TestSilence: nothing is told of what a silence covers; once it is over, what is still news is.
func TestSilence(t *testing.T) {
	now := lagging
	now.For, now.Repeat = 0, 0
	w := newWorld(t, now)
	expect(t, "a", w.after(0, lag("a", 500)), "firing lagging [route=a] of 1")
	w.silences = []Silence{{Rule: "lagging", Labels: map[string]string{"route": "a"}, Until: w.now.Add(time.Hour)}, {Rule: "other", Until: w.now.Add(time.Hour)}}
	expect(t, "over in silence, b is not covered", w.after(2*time.Minute, lag("b", 500)), "firing lagging [route=b] of 1")
	expect(t, "told after it", w.after(time.Hour, lag("b", 500)), "resolved lagging [route=a] of 1")
	w.silences = []Silence{{Until: w.now.Add(time.Hour)}}
	expect(t, "all are silent", w.after(2*time.Minute, lag("b", 500), lag("c", 500), lag("d", 500)), "")
	expect(t, "d comes and goes", w.after(2*time.Minute, lag("b", 500), lag("c", 500)), "")
	expect(t, "c stays", w.after(time.Hour, lag("b", 500), lag("c", 500)), "firing lagging [route=c] of 2")
}

// TestFlappingIsBounded: an alert that comes and goes all the time is told of a few times, then every half hour, and in the end as it is.
func TestFlappingIsBounded(t *testing.T) {
	now := lagging
	now.For = 0
	w := newWorld(t, now)
	for i := range 6 * 60 * 4 { // four hours, every ten seconds
		w.after(10*time.Second, lag("a", float64(i/7%2)*500), lag("b", 1))
	}
	if n := len(w.told); n > 4*(flapChanges+1) {
		t.Errorf("%d messages in four hours", n)
	}
	if m := w.told[len(w.told)-1]; !m.Alerts[0].Flapping {
		t.Error("no message says that it flaps")
	}
	expect(t, "another one is told of at once", w.after(time.Minute, lag("a", 0), lag("b", 500)), "firing lagging [route=b] of 1")
	for range 60 {
		w.after(time.Minute, lag("a", 500), lag("b", 500))
	}
	last := ""
	for _, m := range w.told {
		for _, a := range m.Alerts {
			if a.Labels["route"] == "a" {
				last = m.What
			}
		}
	}
	if last != Firing {
		t.Errorf("at last it is told to be %s", last)
	}
}

// TestAStartEndsNothing: signals that are not there yet right after a start are no recovery.
func TestAStartEndsNothing(t *testing.T) {
	w := newWorld(t, lagging)
	w.after(0, lag("a", 500))
	expect(t, "fires", w.after(time.Minute, lag("a", 500)), "firing lagging [route=a] of 1")
	w.settling = true
	expect(t, "after a start", w.after(2*time.Minute), "")
	w.settling = false
	expect(t, "there it is", w.after(time.Minute, lag("a", 600)), "")
	expect(t, "over", w.after(time.Minute, lag("a", 0)), "resolved lagging [route=a] of 0")
}

// TestRulesThatChange: what is remembered stays with a rule by its id; of a rule that is gone the history hears, nobody else.
func TestRulesThatChange(t *testing.T) {
	now := lagging
	now.For = 0
	w := newWorld(t, now)
	w.after(0, lag("a", 500))
	stricter := now
	stricter.When, stricter.Severity = "lag_seconds > 100", Critical
	w.configure(stricter)
	expect(t, "it stays", w.after(time.Minute, lag("a", 200)), "")
	stricter.Enabled = false
	w.configure(stricter)
	expect(t, "switched off", w.after(time.Minute, lag("a", 200)), "withdrawn lagging [route=a] of 0")
	if m := w.told[len(w.told)-1]; len(m.Channels) > 0 {
		t.Errorf("a withdrawal goes to %v", m.Channels)
	}
	expect(t, "once", w.after(time.Minute, lag("a", 200)), "")
}

// TestTheClockIsSetBack: nothing is told twice for it, and nothing hangs until the clock is where it was.
func TestTheClockIsSetBack(t *testing.T) {
	w := newWorld(t, lagging)
	w.after(0, lag("a", 500))
	w.after(time.Minute, lag("a", 500))
	w.after(-100*time.Hour, lag("a", 500))
	expect(t, "over", w.after(time.Minute, lag("a", 5)), "resolved lagging [route=a] of 0")
	w.after(time.Minute, lag("a", 500))
	expect(t, "fires", w.after(2*time.Minute, lag("a", 500)), "firing lagging [route=a] of 1")
	w.after(0, lag("a", 500), lag("b", 500))
	w.after(-100*time.Hour, lag("a", 500), lag("b", 500))
	expect(t, "what was about to fire does", w.after(time.Minute, lag("a", 500), lag("b", 500)), "firing lagging [route=b] of 2")
}

// TestWhereAConditionHolds: it is looked at for each part that its signals are about; a signal of the whole counts for every part.
func TestWhereAConditionHolds(t *testing.T) {
	signals := []Signal{lag("a", 500), lag("b", 10), {Name: "lag_events", Labels: map[string]string{"route": "a"}, Value: 7},
		{Name: "log_disk_free_ratio", Value: 0.05}, {Name: "failed_tasks", Labels: map[string]string{"rule": "x"}, Value: 2},
		{Name: "health", Value: 2}, {Name: "health", Labels: map[string]string{"system": "s"}, Value: 2}, {Name: "health", Labels: map[string]string{"route": "a"}, Value: 1}}
	for when, want := range map[string]string{
		"lag_seconds > 300":                                    "[route=a]",
		"lag_seconds > 300 && lag_events < 5":                  "[]",
		`lag_seconds > 0 && route != "a"`:                      "[route=b]",
		"log_disk_free_ratio < 0.1":                            "[]one",
		"lag_seconds > 5 && log_disk_free_ratio < 0.1":         "[route=a route=b]",
		"lag_seconds > 300 || failed_tasks > 1":                "[route=a rule=x]",
		"lag_events == nil && lag_seconds > 0":                 "[route=b]",
		"canary_seconds > 1":                                   "[]",
		"health >= 2":                                          "[ system=s]",
		"health >= 1 && lag_seconds > 300":                     "[route=a]",
		`let slow = lag_seconds > 300; slow && route in ["a"]`: "[route=a]",
	} {
		s := lagging
		s.When = when
		r, err := Compile(s)
		if err != nil {
			t.Errorf("Compile(%s) = %v", when, err)
			continue
		}
		holds, err := r.evaluate(signals)
		if err != nil {
			t.Errorf("%s: %v", when, err)
		}
		var keys []string
		for k := range holds {
			keys = append(keys, k)
		}
		got := fmt.Sprint(sorted(keys))
		if len(keys) == 1 && keys[0] == "" {
			got = "[]one"
		}
		if got != want {
			t.Errorf("%s holds for %s, want %s", when, got, want)
		}
	}
}

// TestNoCondition: what is neither true nor false, or looks at nothing, is refused when it is read.
func TestNoCondition(t *testing.T) {
	for _, when := range []string{"", "lag_seconds", "lag_seconds + 1", `route == "a"`, "lag_second > 1", `lag_seconds > 1 ? "a" : "b"`, "after.lag_seconds > 1"} {
		if _, err := Compile(Spec{When: when}); err == nil {
			t.Errorf("Compile(%s) is accepted", when)
		}
	}
	for _, b := range BuiltIn(5*time.Minute, 0.1) {
		if _, err := Compile(b); err != nil {
			t.Errorf("the built-in rule %s: %v", b.Name, err)
		}
	}
}

// TestWhatWasToldIsTrueInTheEnd: whatever happens, and with a restart after every step, each alert is told of in turns as firing and as
// resolved, at a bounded rate, and once all is quiet what was told last is what is.
func TestWhatWasToldIsTrueInTheEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := lagging
		s.For = rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(rt, "for")
		s.Repeat = rapid.SampledFrom([]time.Duration{0, 10 * time.Minute}).Draw(rt, "repeat")
		w := newWorld(t, s)
		fires := make([]bool, 3)
		signals := func() (list []Signal) {
			for i, f := range fires {
				if f {
					list = append(list, lag(string(rune('a'+i)), 999))
				} else {
					list = append(list, lag(string(rune('a'+i)), 1))
				}
			}
			return list
		}
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			if i := rapid.IntRange(0, 3).Draw(rt, "which"); i < len(fires) {
				fires[i] = !fires[i]
			}
			w.silences = nil
			if rapid.IntRange(0, 9).Draw(rt, "silence") == 0 {
				w.silences = []Silence{{Until: w.now.Add(24 * time.Hour)}}
			}
			w.settling = rapid.IntRange(0, 19).Draw(rt, "start") == 0
			w.after(time.Duration(rapid.IntRange(1, 90).Draw(rt, "seconds"))*time.Second, signals()...)
		}
		w.silences, w.settling = nil, false
		for range 60 {
			w.after(time.Minute, signals()...)
		}
		told := make([]bool, len(fires))
		changes := make([][]time.Time, len(fires))
		for _, m := range w.told {
			for _, a := range m.Alerts {
				i := a.Labels["route"][0] - 'a'
				if m.What == Reminder {
					if !told[i] {
						rt.Fatalf("a reminder of %c, which was not told to fire", 'a'+i)
					}
					continue
				}
				if told[i] == (m.What == Firing) {
					rt.Fatalf("%c is told to be %s twice", 'a'+i, m.What)
				}
				told[i] = !told[i]
				changes[i] = append(changes[i], m.At)
				if c := changes[i]; len(c) > flapChanges+2 && m.At.Sub(c[len(c)-flapChanges-3]) < flapWithin {
					rt.Fatalf("%c is told of more than %d times within %s", 'a'+i, flapChanges+2, flapWithin)
				}
			}
		}
		if diff := cmp.Diff(fires, told); diff != "" {
			rt.Fatalf("in the end (-true +told):\n%s", diff)
		}
	})
}

// TestBuiltInRules: each fires for what it is for, and only for that.
func TestBuiltInRules(t *testing.T) {
	bad := map[string]Signal{
		"health-critical":    {Name: "health", Value: 2},
		"lag":                lag("a", 301),
		"failed-tasks":       {Name: "failed_tasks", Labels: map[string]string{"rule": "r"}, Value: 1},
		"conflicts":          {Name: "conflicts_waiting", Labels: map[string]string{"rule": "r"}, Value: 1},
		"breaker-open":       {Name: "breaker_open", Labels: map[string]string{"route": "a"}, Value: 1},
		"slot-at-risk":       {Name: "slot_at_risk", Labels: map[string]string{"system": "s"}, Value: 1},
		"log-disk":           {Name: "log_disk_free_ratio", Value: 0.09},
		"verify-differences": {Name: "verify_differences", Labels: map[string]string{"rule": "r"}, Value: 1},
		"schedule-failed":    {Name: "schedule_failed", Labels: map[string]string{"schedule": "s"}, Value: 1},
		"schedule-missed":    {Name: "schedule_missed", Labels: map[string]string{"schedule": "s"}, Value: 1},
	}
	specs := BuiltIn(5*time.Minute, 0.1)
	for _, s := range specs {
		signal, ok := bad[s.Name]
		if !ok {
			t.Errorf("nobody tries the built-in rule %s", s.Name)
			continue
		}
		w := newWorld(t, specs...)
		w.after(0, signal)
		w.after(2*time.Minute, signal)
		if len(w.told) != 1 || w.told[0].Rule != s.Name || w.told[0].Severity != s.Severity {
			t.Errorf("%s: told %+v", s.Name, w.told)
		}
		if s.Name == "lag" { // of a route that is paused it is what its operator wants
			w = newWorld(t, specs...)
			for _, after := range []time.Duration{0, 2 * time.Minute} {
				w.after(after, signal, Signal{Name: "paused", Labels: signal.Labels, Value: 1})
			}
			if len(w.told) > 0 {
				t.Errorf("of a paused route %+v is told", w.told)
			}
		}
		w = newWorld(t, specs...)
		for name, fine := range bad {
			if fine.Value = 0; name == "log-disk" {
				fine.Value = 0.1
			}
			w.after(2*time.Minute, fine)
		}
		if len(w.told) > 0 {
			t.Errorf("where all is well was told %+v", w.told)
		}
	}
}
