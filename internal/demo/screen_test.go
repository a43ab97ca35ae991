package demo

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/ops"
	"syncline/internal/state"
)

// TestFrames: a frame overwrites the one before, and never wraps or scrolls.
func TestFrames(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, terminal: &Terminal{Size: func() (int, int) { return 10, 3 }, Color: true}}
	s.frame([]styled{{"北京北京北京 and more", alarm}})
	s.frame([]styled{{"a", plain}, {"b", plain}, {"does not fit", plain}})
	s.finish()
	want := hideCursor + string(alarm) + "北京北京" + reset + clearLine + "\n" + clearBelow +
		"\r\x1b[1A" + "a" + clearLine + "\n" + "b" + clearLine + "\n" + clearBelow + showCursor + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	if got, want := s.colored(strong, "x"), string(strong)+"x"+reset; got != want {
		t.Errorf("colored = %q, want %q", got, want)
	}
}

// TestTableFits80Columns with the longest names, large numbers and the longest state.
func TestTableFits80Columns(t *testing.T) {
	slow := 63.4
	s := snapshot{routes: []ops.RouteStatus{{ID: "report-low-stock", Source: "shop",
		Target: "warehouse", State: ops.RouteNeedsSync, LagEvents: 99999, LatencyP50: slow, LatencyP99: slow, Counts: state.Counts{Applied: 9999999, Parked: 999999}}}}
	for _, l := range s.table("The business runs", 9999999, time.Hour) {
		if got := cut(l.text, 80); got != l.text {
			t.Errorf("%q is cut to %q", l.text, got)
		}
	}
}
