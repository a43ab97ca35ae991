package apply

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"syncline"
	"syncline/internal/state"
)

// counting is a state store that counts commits.
type counting struct {
	*state.Store
	commits int
}

func (c *counting) Commit(ctx context.Context, commit state.Commit) error {
	c.commits++
	return c.Store.Commit(ctx, commit)
}

// manyBroken parks n tasks by a rule that fails, and mends the rule.
func manyBroken(t *testing.T, n int) (*bench, *counting) {
	t.Helper()
	broken := true
	counts := &counting{}
	b := newBench(t, func(o *Options) {
		o.Retry.Max = 1
		counts.Store = o.State.(*state.Store) //nolint:forcetypeassert // the bench made it
		o.State = counts
		o.Rules[0].Bind = func(s *syncline.Schema) (*Binding, error) {
			return &Binding{Out: s, Match: func(*syncline.Batch, int) (bool, error) {
				if broken {
					return false, errors.New("the rule is wrong")
				}
				return true, nil
			}}, nil
		}
	})
	var events []syncline.Event
	for i := range n {
		events = append(events, created(int64(i), "a", "x"))
		if len(events) == 1000 || i == n-1 {
			b.append(events...)
			events = nil
			b.mustDrain()
		}
	}
	if c := b.balanced(); c.Parked != int64(n) {
		t.Fatalf("counts = %+v, want %d parked", c, n)
	}
	broken = false
	return b, counts
}

// TestManyRetriesTakeFewBatches: a target that takes all or nothing is given parked records together, and those that it refuses alone:
// each of them has one attempt more, and no other has.
func TestManyRetriesTakeFewBatches(t *testing.T) {
	const n = 2000
	b, counts := manyBroken(t, n)
	bad := map[int]bool{0: true, 700: true, 701: true, n - 1: true}
	for i := range bad {
		b.store.Refuse("dim", syncline.Key(strconv.Itoa(i)))
	}
	if _, err := b.s.RetryAll(b.ctx, isFailed); err != nil {
		t.Fatal(err)
	}
	counts.commits = 0
	b.mustDrain()
	if counts.commits > 80 {
		t.Errorf("%d retries took %d batches", n, counts.commits)
	}
	if c := b.balanced(); c.Applied != int64(n-len(bad)) || c.Parked != int64(len(bad)) {
		t.Errorf("counts = %+v, want %d parked", c, len(bad))
	}
	waiting, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range waiting {
		if i, _ := strconv.Atoi(string(x.Key)); !bad[i] || x.Attempts != 2 || x.Status != state.StatusFailed || x.Code != "refused" {
			t.Errorf("task %s of key %s has %d attempts: %s, %s", x.Task, x.Key, x.Attempts, x.Status, x.Code)
		}
	}
}

// TestWhatRecordsExchangedComesWithTheRetryOfAll: values that must be unique, and are refused record by record for as long as others have
// them, are taken at once where the target checks them late, among others that it still refuses.
func TestWhatRecordsExchangedComesWithTheRetryOfAll(t *testing.T) {
	target := &sql{names: make(map[syncline.Key]string)}
	b := newBench(t, func(o *Options) {
		target.at(o)
		o.Retry = Retry{Max: 1}
	})
	b.append(created(1, "a", "x"), created(2, "b", "x"), created(3, "c", "x"))
	b.mustDrain()
	b.append(updated(1, "b", "y"), updated(2, "c", "y"), updated(3, "a", "y"))
	b.mustDrain()
	retry := func(parked int64) {
		t.Helper()
		if _, err := b.s.RetryAll(b.ctx, isFailed); err != nil {
			t.Fatal(err)
		}
		b.mustDrain()
		if c := b.balanced(); c.Parked != parked {
			t.Errorf("counts = %+v, want %d parked", c, parked)
		}
	}
	retry(3)
	target.late, target.silent = true, true // the constraint was made deferrable
	retry(0)
	b.want(map[string]string{"1": "b/y", "2": "c/y", "3": "a/y"})
}
