package alert

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestEachSignalIsLookedForByItsLabels: which values a condition sees for which labels does not depend on how they are looked for.
func TestEachSignalIsLookedForByItsLabels(t *testing.T) {
	r, err := Compile(Spec{Name: "any", When: "health > 1 || lag_seconds > 1 || log_bytes > 1 || failed_tasks > 1"})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		var signals []Signal
		for range rapid.IntRange(0, 12).Draw(rt, "signals") {
			s := Signal{Name: rapid.SampledFrom(r.signals).Draw(rt, "name"), Labels: map[string]string{}, Value: float64(rapid.IntRange(0, 3).Draw(rt, "value"))}
			for _, l := range []string{"route", "system", "rule"}[:rapid.IntRange(0, 3).Draw(rt, "labels")] { // no two sets of which neither is part of the other
				s.Labels[l] = rapid.SampledFrom([]string{"a", "b"}).Draw(rt, l)
			}
			signals = append(signals, s)
		}
		got, err := r.evaluate(signals)
		if err != nil {
			rt.Fatal(err)
		}
		want := map[string]map[string]float64{}
		for i := range signals {
			s := &signals[i]
			if slices.ContainsFunc(signals, func(o Signal) bool {
				return o.Name != s.Name && len(o.Labels) > len(s.Labels) && within(s.Labels, o.Labels)
			}) {
				continue
			}
			values, best := map[string]float64{}, map[string]int{}
			for _, o := range signals {
				if n, taken := best[o.Name]; within(o.Labels, s.Labels) && (!taken || len(o.Labels) > n) {
					values[o.Name], best[o.Name] = o.Value, len(o.Labels)
				}
			}
			if slices.Max(append(slices.Collect(maps.Values(values)), 0)) > 1 {
				want[LabelText(s.Labels)] = values
			}
		}
		have := map[string]map[string]float64{}
		for id := range got {
			have[id] = got[id].values
		}
		if diff := cmp.Diff(want, have); diff != "" {
			rt.Fatalf("what the condition holds for (-want +got):\n%s", diff)
		}
	})
}
