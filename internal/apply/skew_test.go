package apply

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"syncline/internal/conflict"
	"syncline/internal/state"
)

// TestAClockThatRunsAhead: a conflict that is decided by a time which is still to come says so, the route counts it, and the log is told
// once, not once for each.
func TestAClockThatRunsAhead(t *testing.T) {
	var log bytes.Buffer
	b := newConflictBench(t, conflict.Policy{Strategy: conflict.LastWriteWins}, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	b.append(created(1, "a", "x"), created(2, "b", "x"), created(3, "c", "x"))
	b.mustDrain()
	disagree := func(id int64, ahead time.Duration) state.Conflict {
		t.Helper()
		b.theirs(record(id, fmt.Sprintf("theirs %s", ahead), "x"))
		b.now = b.now.Add(ahead)
		b.append(updated(id, fmt.Sprintf("ours %s", ahead), "x"))
		b.now = b.now.Add(-ahead)
		b.mustDrain()
		list, _, err := b.state.Conflicts(b.ctx, state.ConflictFilter{Key: fmt.Sprint(id)})
		if err != nil || len(list) != 1 {
			t.Fatalf("conflicts = %+v, %v", list, err)
		}
		return list[0]
	}
	if c := disagree(1, time.Minute); strings.Contains(c.Note, "clock") || b.route.Status().Skewed.Decisions != 0 {
		t.Errorf("a minute ahead: %q, %+v", c.Note, b.route.Status().Skewed)
	}
	for id := int64(2); id < 4; id++ {
		if c := disagree(id, 3*time.Minute); !strings.Contains(c.Note, "the clock of crm is 3m0s ahead of this machine's") {
			t.Errorf("three minutes ahead: %q", c.Note)
		}
	}
	if got := b.route.Status().Skewed; got.Decisions != 2 || got.Last != (state.Skew{System: "crm", Ahead: 3 * time.Minute}) || !got.At.Equal(b.now) {
		t.Errorf("Skewed = %+v, want two of crm", got)
	}
	if n := strings.Count(log.String(), "a time that is still to come"); n != 1 {
		t.Errorf("the log was told %d times, want once:\n%s", n, log.String())
	}
}
