package conflict

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"syncline"
)

// A target that tells that nobody has touched a record gets the same decisions as one that tells what the record holds.
func TestUntouchedRecordsAreDecidedAsThoseThatAreRead(t *testing.T) {
	recalled := 0
	rapid.Check(t, func(rt *rapid.T) {
		p := Policy{Detect: []Detector{Version, Data}, Strategy: rapid.SampledFrom([]Strategy{LastWriteWins, Manual}).Draw(rt, "strategy"), VersionField: "rev"}
		read, recalling := &target{tb: t, r: resolver(t, p)}, &target{tb: t, r: resolver(t, p)}
		next, now, recallable := [2]int{}, row("a", "a"), false
		for second := range rapid.IntRange(1, 15).Draw(rt, "events") {
			if rapid.IntRange(0, 3).Draw(rt, "touch") == 0 && read.row != nil {
				recallable = false
				read.row = slices.Clone(read.row)
				read.row[1] = syncline.Text(rapid.SampledFrom([]string{"a", "x"}).Draw(rt, "theirs"))
				recalling.row = read.row
			}
			s := rapid.IntRange(0, 1).Draw(rt, "source")
			next[s]++
			ev := said([]string{"crm", "erp"}[s], next[s], second)
			ev.Version = int64(max(0, rapid.IntRange(-5, 2).Draw(rt, "version")))
			now = slices.Clone(now)
			for c := range rapid.IntRange(0, 2).Draw(rt, "changes") {
				now[1+c] = syncline.Text(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "value"))
			}
			ours := slices.Clone(now)
			switch rapid.IntRange(0, 9).Draw(rt, "event") {
			case 0:
				ours = nil
			case 1:
				ours[2] = syncline.Unset
			}
			want := read.apply(ev, ours, nil)
			var got Verdict
			err := syncline.ErrUnread
			if recallable && recalling.row != nil {
				got, err = recalling.r.Decide(&ev, ours, nil, syncline.Held{Shadow: recalling.shadow, Untouched: true})
			}
			was := string(recalling.shadow)
			switch {
			case errors.Is(err, syncline.ErrUnread):
				got = recalling.apply(ev, ours, nil)
			case err != nil:
				rt.Fatal(err)
			default:
				recalled++
				recalling.do(got)
			}
			if got.Op != 0 || string(recalling.shadow) != was { // the record is written
				recallable = got.Recallable
			}
			if got.Outcome != want.Outcome || (got.Conflict == nil) != (want.Conflict == nil) || show(recalling.row) != show(read.row) ||
				string(recalling.shadow) != string(read.shadow) {
				rt.Fatalf("untouched: %v %s\nread:      %v %s\nremembered: %q\n            %q",
					got.Outcome, show(recalling.row), want.Outcome, show(read.row), recalling.shadow, read.shadow)
			}
		}
	})
	if recalled == 0 {
		t.Error("no record was decided about without its values")
	}
}
