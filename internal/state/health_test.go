package state

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestHealthChecks: the newest first, by pages, and no more than are to be kept.
func TestHealthChecks(t *testing.T) {
	s := openNew(t)
	for i := range 7 {
		c := HealthCheck{At: noon.Add(time.Duration(i) * time.Minute), Level: "healthy", Summary: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))}
		must(t, s.AddHealth(t.Context(), c, noon.Add(time.Minute), 5))
	}
	var got []string
	for after := ""; ; {
		list, next, err := s.Health(t.Context(), after, 2)
		must(t, err)
		for _, c := range list {
			got = append(got, c.At.Format("15:04 ")+c.Level+string(c.Summary))
		}
		if after = next; after == "" {
			break
		}
	}
	want := []string{`12:06 healthy{"n":6}`, `12:05 healthy{"n":5}`, `12:04 healthy{"n":4}`, `12:03 healthy{"n":3}`, `12:02 healthy{"n":2}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
