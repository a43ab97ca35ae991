package conflict

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"syncline"
)

var schema = &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt}, {Name: "name", Kind: syncline.KindText, Nullable: true}, {Name: "tier", Kind: syncline.KindText, Nullable: true},
	{Name: "stock", Kind: syncline.KindInt, Nullable: true}, {Name: "tags", Kind: syncline.KindJSON, Nullable: true},
	{Name: "changed_at", Kind: syncline.KindTimestampTZ, Nullable: true}, {Name: "rev", Kind: syncline.KindInt, Nullable: true}}}

func resolver(tb testing.TB, p Policy) *Resolver {
	tb.Helper()
	c, err := Compile(p, "warehouse")
	if err != nil {
		tb.Fatal(err)
	}
	r, err := c.Bind(schema)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// target is a record at the target with its shadow.
type target struct {
	tb  testing.TB
	r   *Resolver
	row []syncline.Value
	// shadow is what the last decision left.
	shadow []byte
}

// apply decides about an event and carries it out.
func (t *target) apply(ev Event, ours, base []syncline.Value) Verdict {
	t.tb.Helper()
	v, err := t.r.Decide(&ev, ours, base, syncline.Held{Values: t.row, Shadow: t.shadow})
	if err != nil {
		t.tb.Fatalf("Decide: %v", err)
	}
	t.do(v)
	return v
}

func (t *target) do(v Verdict) {
	switch v.Op {
	case syncline.ChangePut:
		t.row = merged(v.Values, t.row)
	case syncline.ChangeDelete:
		t.row = nil
	}
	t.shadow = v.Shadow
}

// clock is the n-th second of the tests' time.
func clock(n int) time.Time { return time.Date(2024, 1, 1, 0, 0, n, 0, time.UTC) }

// said is one event of a source, whose log has its name.
func said(source string, seq, second int) Event {
	b := &syncline.Batch{Source: source, Txns: []syncline.Txn{{}}, Events: []syncline.Event{{Op: syncline.OpUpdated, Schema: schema}}}
	return Event{Log: DigestOf(source), Seq: syncline.Seq(seq), Stamp: Stamp{Time: clock(second), Source: source, Event: DigestOf(fmt.Sprintf("%s/%d", source, seq))}, Batch: b}
}

func row(name, tier string) []syncline.Value {
	return []syncline.Value{syncline.Int(1), syncline.Text(name), syncline.Text(tier), syncline.Null, syncline.Null, syncline.Null, syncline.Null}
}

// history is what two sources say of one record, each in its own order, with clocks that do not agree, or show the same.
type history struct {
	events []Event
	rows   [][]syncline.Value
}

func draw(t *rapid.T) (all [2]history) {
	for s, source := range []string{"crm", "erp"} {
		n := rapid.IntRange(1, 5).Draw(t, source)
		now := row("a", "a")
		times := rapid.Permutation(seq(8)).Draw(t, "seconds")[:n]
		slices.Sort(times)
		for i := range n {
			now = slices.Clone(now)
			for c := 1; c <= 2; c++ {
				if i == 0 || rapid.Bool().Draw(t, "changes") {
					now[c] = syncline.Text(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "value"))
				}
			}
			all[s].events = append(all[s].events, said(source, i+1, times[i]))
			all[s].rows = append(all[s].rows, now)
		}
	}
	return all
}

func seq(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i + 1
	}
	return list
}

// weave applies both histories in an order that keeps each one's own.
func weave(t *rapid.T, label string, to *target, all [2]history) {
	next := [2]int{}
	for next[0] < len(all[0].events) || next[1] < len(all[1].events) {
		s := 0
		if next[0] == len(all[0].events) || next[1] < len(all[1].events) && rapid.Bool().Draw(t, label) {
			s = 1
		}
		i := next[s]
		next[s]++
		before := show(to.row)
		v := to.apply(all[s].events[i], all[s].rows[i], nil)
		if v.Outcome == syncline.OutcomeConflict {
			t.Fatalf("%s of two sources asks a person: %+v", to.r.Strategy, v.Conflict)
		}
		after := show(to.row)
		if again := to.apply(all[s].events[i], all[s].rows[i], nil); again.Outcome != syncline.OutcomeStale || show(to.row) != after {
			t.Fatalf("the same event again: %v, %s after %s (before %s)", again.Outcome, show(to.row), after, before)
		}
	}
}

func show(values []syncline.Value) string {
	if values == nil {
		return "nothing"
	}
	var parts []string
	for _, v := range values {
		parts = append(parts, v.String())
	}
	return strings.Join(parts, " ")
}

// Whatever the order in which the events of two sources arrive, the same record comes of them, and saying something twice changes
// nothing.
func TestTheOrderOfArrivalDecidesNothing(t *testing.T) {
	for name, p := range map[string]Policy{
		"last write wins":            {Detect: []Detector{Data}, Strategy: LastWriteWins},
		"source priority":            {Detect: []Detector{Data}, Strategy: SourcePriority, Sources: []string{"erp", "crm"}},
		"two sources without a rank": {Detect: []Detector{Data}, Strategy: SourcePriority, Sources: []string{"pos", "shop"}},
		"fields": {Detect: []Detector{Data}, Strategy: Merge, Fields: map[string]Field{"name": {Policy: FieldNewest},
			"tier": {Policy: FieldPriority, Sources: []string{"crm", "erp"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				all := draw(rt)
				var got [2]string
				for i := range got {
					to := &target{tb: t, r: resolver(t, p)}
					weave(rt, fmt.Sprint("order", i), to, all)
					got[i] = show(to.row)
				}
				if got[0] != got[1] {
					rt.Fatalf("one order makes %s, another %s", got[0], got[1])
				}
			})
		})
	}
}

// The stored form comes back as it was, and what is damaged is noticed.
func TestShadowRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		to := &target{tb: t, r: resolver(t, Policy{Detect: []Detector{Data}, Strategy: LastWriteWins})}
		weave(rt, "order", to, draw(rt))
		s, err := decodeShadow(to.shadow)
		if err != nil {
			rt.Fatal(err)
		}
		if again := encodeShadow(s); string(again) != string(to.shadow) {
			rt.Fatalf("encode of decode = %q, want %q", again, to.shadow)
		}
		for n := range to.shadow {
			if _, err := decodeShadow(to.shadow[:n]); err == nil {
				rt.Fatalf("the first %d of %d bytes are taken for a shadow", n, len(to.shadow))
			}
		}
	})
}

// One record whose shadow is damaged waits; where another build wrote the shadows, all records are alike, and the route has to stop.
func TestShadowsThatCannotBeRead(t *testing.T) {
	r := resolver(t, Policy{Detect: []Detector{Data}, Strategy: LastWriteWins})
	for _, tt := range []struct {
		shadow string
		class  syncline.Class
		code   string
	}{
		{"", syncline.Rejected, "shadow_damaged"},
		{"\x00", syncline.Rejected, "shadow_damaged"},
		{"garbage", syncline.Rejected, "shadow_damaged"},
		{string(rune(shadowVersion)), syncline.Rejected, "shadow_damaged"},
		{string(rune(shadowVersion-1)) + "abc", syncline.Fatal, "shadow_format"},
		{string(rune(shadowVersion+1)) + "abc", syncline.Fatal, "shadow_format"},
	} {
		_, err := r.Begin(syncline.Held{Values: row("a", "b"), Shadow: []byte(tt.shadow)})
		if syncline.ClassOf(err) != tt.class || syncline.CodeOf(err) != tt.code {
			t.Errorf("Begin with the shadow %q = %v, want class %v, code %s", tt.shadow, err, tt.class, tt.code)
		}
	}
}

func decodeShadow(data []byte) (*shadow, error) {
	names, err := digests(schema)
	if err != nil {
		return nil, err
	}
	s := &shadow{}
	return s, new(decoder).decode(s, data, names)
}

func encodeShadow(s *shadow) []byte {
	names, _ := digests(schema)
	return new(encoder).encode(s, names)
}

func FuzzShadow(f *testing.F) {
	to := &target{tb: f, r: resolver(f, Policy{Detect: []Detector{Data}, Strategy: LastWriteWins})}
	to.apply(said("crm", 1, 1), row("a", "b"), nil)
	to.apply(said("erp", 1, 2), row("a", "c"), nil)
	f.Add(to.shadow)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeShadow(data)
		if err != nil {
			return
		}
		again, err := decodeShadow(encodeShadow(s))
		if err != nil || string(encodeShadow(again)) != string(encodeShadow(s)) {
			t.Errorf("what was decoded does not encode: %v", err)
		}
	})
}

// TestARecordThatCameBackIsThere: who deleted it once is forgotten then. Somebody at the target deletes it again, and an event that changes
// nothing does not bring it back.
func TestARecordThatCameBackIsThere(t *testing.T) {
	to := &target{tb: t, r: resolver(t, Policy{Detect: []Detector{Data}, Strategy: LastWriteWins})}
	to.apply(said("crm", 1, 1), row("Ann", "gold"), nil)
	to.apply(said("crm", 2, 2), nil, nil)
	to.apply(said("crm", 3, 3), row("Ann", "gold"), nil)
	if to.row == nil {
		t.Fatal("the record has not come back")
	}
	to.row = nil
	if v := to.apply(said("crm", 4, 4), row("Ann", "gold"), nil); v.Outcome != syncline.OutcomeKept || to.row != nil {
		t.Errorf("an event that changes nothing: %v, the target has %s", v.Outcome, show(to.row))
	}
}
