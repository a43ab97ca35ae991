package conflict

import (
	"testing"

	"pgregory.net/rapid"

	"syncline"
)

// However the events of a record are shared out among writes, the target comes to hold and to remember the same.
func TestATurnIsItsEventsOneByOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := draw(rt)
		var events []Event
		var rows [][]syncline.Value
		next := [2]int{}
		for next[0] < len(all[0].events) || next[1] < len(all[1].events) {
			s := rapid.IntRange(0, 1).Draw(rt, "source")
			if next[s] == len(all[s].events) {
				s = 1 - s
			}
			events, rows = append(events, all[s].events[next[s]]), append(rows, all[s].rows[next[s]])
			next[s]++
		}
		p := Policy{Detect: []Detector{Data}, Strategy: LastWriteWins}
		single, shared := &target{tb: t, r: resolver(t, p)}, &target{tb: t, r: resolver(t, p)}
		for i := range events {
			if rapid.IntRange(0, 5).Draw(rt, "gone") == 0 {
				rows[i] = nil
			}
			single.apply(events[i], rows[i], nil)
		}
		for from := 0; from < len(events); {
			to := rapid.IntRange(from+1, len(events)).Draw(rt, "to")
			turn, err := shared.r.Begin(syncline.Held{Values: shared.row, Shadow: shared.shadow})
			if err != nil {
				rt.Fatal(err)
			}
			for ; from < to; from++ {
				if v, err := turn.Decide(&events[from], rows[from], nil); err != nil || v.Outcome > syncline.OutcomeKept {
					rt.Fatalf("Decide = %+v, %v", v, err)
				}
			}
			shared.do(Verdict{Decision: turn.Decision()})
		}
		if show(single.row) != show(shared.row) || string(single.shadow) != string(shared.shadow) {
			rt.Fatalf("one by one: %s\ntogether:   %s\nremembered: %q\n            %q", show(single.row), show(shared.row), single.shadow, shared.shadow)
		}
	})
}
