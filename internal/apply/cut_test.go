package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"syncline"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// sql is a target that behaves like a database: it takes all or nothing.
type sql struct {
	*memtarget.Target
	// silent: it does not tell which change it refuses, as where constraints are checked at the end.
	silent bool
	// names are those that records have. They must be unique, after each change, or late only at the end of each write; nil = need not.
	names map[syncline.Key]string
	late  bool

	calls, changes, refused int
}

var errSame = syncline.Errorf(syncline.Rejected, "unique_violation", "another record has the name")

func (s *sql) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	s.calls, s.changes = s.calls+1, s.changes+len(w.Changes)
	res, err := syncline.Result{}, s.unique(w)
	if err == nil {
		res, err = s.Target.Apply(ctx, w)
	}
	var known *syncline.Error
	if errors.As(err, &known) && known.Class == syncline.Rejected {
		s.refused++
		if s.silent || !w.Ordered {
			known.Change = -1
		}
	}
	return res, err
}

// unique takes the names over if no two records have the same one.
func (s *sql) unique(w *syncline.Write) error {
	if s.names == nil {
		return nil
	}
	names := maps.Clone(s.names)
	same := func() bool {
		seen := make(map[string]bool)
		for _, n := range names {
			if seen[n] {
				return true
			}
			seen[n] = true
		}
		return false
	}
	for i := range w.Changes {
		k, _ := w.Changes[i].Row.Key()
		names[k] = w.Changes[i].Row.Values[1].Text()
		if !s.late && same() {
			return errSame.At(i)
		}
	}
	if same() {
		return errSame.At(-1)
	}
	for k := range names {
		if s.names[k] != names[k] && s.bad(k) {
			return nil // the target refuses the write
		}
	}
	s.names = names
	return nil
}

// bad reports whether the key is one of those that the tests have refused.
func (s *sql) bad(k syncline.Key) bool {
	n, _ := strconv.Atoi(string(k))
	return n%1000 == 999
}

// at opens the target of a bench. All sessions have the same.
func (s *sql) at(o *Options) {
	open := o.Open
	o.Open = func(ctx context.Context) (syncline.Target, error) {
		target, err := open(ctx)
		s.Target = target.(*memtarget.Target) //nolint:forcetypeassert // the bench made it
		return s, err
	}
}

// parkedKeys wants these tasks and no others to wait, each after so many attempts.
func (b *bench) parkedKeys(attempts int, bad func(int) bool, n int) {
	b.t.Helper()
	waiting, err := b.state.Pending(b.ctx, b.route.slice)
	if err != nil {
		b.t.Fatal(err)
	}
	want := 0
	for i := range n {
		if bad(i) {
			want++
		}
	}
	if len(waiting) != want {
		b.t.Errorf("%d tasks wait, want %d", len(waiting), want)
	}
	for _, x := range waiting {
		if i, _ := strconv.Atoi(string(x.Key)); !bad(i) || x.Attempts != attempts || x.Code != "refused" {
			b.t.Fatalf("key %s waits after %d attempts: %s, %s; want only bad ones after %d", x.Key, x.Attempts, x.Status, x.Code, attempts)
		}
	}
}

// TestARefusalCostsAFewWrites, however large the batch is that it is in: bounds of what the target is asked, for bad records among good
// ones, and for their next attempt.
func TestARefusalCostsAFewWrites(t *testing.T) {
	const n = 3000
	for _, test := range []struct {
		name   string
		silent bool
		bad    func(int) bool
		// calls of the target and commits of the state store for each bad record, changes for each record; calls and commits of the
		// next attempts, for each bad record.
		calls, commits, changes float64
	}{
		{"one of a hundred", false, func(i int) bool { return i%100 == 50 }, 2.5, 1.5, 4},
		{"one of ten", false, func(i int) bool { return i%10 == 5 }, 1.6, 0.6, 8},
		{"every second", false, func(i int) bool { return i%2 == 0 }, 1.2, 0.1, 30},
		{"half of them in a row", false, func(i int) bool { return i >= 750 && i < 2250 }, 1.1, 0.05, 20},
		{"all", false, func(int) bool { return true }, 1.1, 0.05, 40},
		{"one of a hundred, unnamed", true, func(i int) bool { return i%100 == 50 }, 20, 10, 6},
		{"half of them in a row, unnamed", true, func(i int) bool { return i >= 750 && i < 2250 }, 1.1, 0.05, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := &sql{silent: test.silent}
			counts := &counting{}
			b := newBench(t, func(o *Options) {
				target.at(o)
				counts.Store = o.State.(*state.Store) //nolint:forcetypeassert // the bench made it
				o.State, o.Retry = counts, Retry{Max: 2, Delay: time.Hour}
			})
			var events []syncline.Event
			bad := 0
			for i := range n {
				if test.bad(i) {
					b.store.Refuse("dim", syncline.Key(strconv.Itoa(i)))
					bad++
				}
				if events = append(events, created(int64(i), "a", "x")); len(events) == 1000 {
					b.append(events...)
					events = nil
				}
			}
			b.mustDrain()
			b.parkedKeys(1, test.bad, n)
			each := func(what string, n, of int, most float64) {
				t.Helper()
				if got := float64(n) / float64(of); got > most {
					t.Errorf("%.2f %s, want at most %.2f", got, what, most)
				} else {
					t.Logf("%.2f %s", got, what)
				}
			}
			each("calls for each bad record", target.calls, bad, test.calls)
			each("commits for each bad record", counts.commits, bad, test.commits)
			each("changes for each record", target.changes, n, test.changes)
			if rows := b.rows(); len(rows) != n-bad {
				t.Errorf("%d records at the target, want %d", len(rows), n-bad)
			}

			target.calls, target.changes, counts.commits = 0, 0, 0
			b.now = b.now.Add(2 * time.Hour)
			b.mustDrain()
			b.parkedKeys(2, test.bad, n)
			each("calls for each second attempt", target.calls, bad, 1.2)
			each("commits for each second attempt", counts.commits, bad, 0.1)
			each("changes for each second attempt", target.changes, bad, 1.2)
		})
	}
}

// TestUniqueValuesMaySwapAmongBadRecords: they are refused only where they are merged, or where their transaction is cut while constraints
// are checked at its end.
func TestUniqueValuesMaySwapAmongBadRecords(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint("checked late: ", late), func(t *testing.T) {
			target := &sql{names: make(map[syncline.Key]string), late: late, silent: late}
			b := newBench(t, func(o *Options) {
				target.at(o)
				o.Retry = Retry{Max: 1}
			})
			name := func(i int) string { return "name " + strconv.Itoa(i) }
			const pairs = 400
			for i := range pairs {
				b.append(created(int64(2*i), name(2*i), "x"), created(int64(2*i+1), name(2*i+1), "x"))
			}
			b.mustDrain()
			bad := 0
			for i := range pairs {
				one, two := 2*i, 2*i+1
				swap := []syncline.Event{updated(int64(one), "spare", "y"), updated(int64(two), name(one), "y"), updated(int64(one), name(two), "y")}
				if late {
					swap = []syncline.Event{updated(int64(two), name(one), "y"), updated(int64(one), name(two), "y")}
				}
				b.append(swap...)
				if i%17 == 3 {
					id := int64(1000*(bad+1) + 999)
					b.store.Refuse("dim", syncline.Key(strconv.FormatInt(id, 10)))
					b.append(created(id, name(int(id)), "x"))
					bad++
				}
			}
			b.mustDrain()
			if c := b.balanced(); c.Parked != int64(bad) {
				t.Errorf("%d tasks wait, want the %d bad ones", c.Parked, bad)
			}
			rows := b.rows()
			for i := range pairs {
				for one, other := range map[int]int{2 * i: 2*i + 1, 2*i + 1: 2 * i} {
					if got := rows[strconv.Itoa(one)]; got != name(other)+"/y" {
						t.Fatalf("record %d is %q, want the name of %d", one, got, other)
					}
				}
			}
		})
	}
}

// TestACriticalEventPassesABacklogOfBadRecords: that the target refuses others does not put it off.
func TestACriticalEventPassesABacklogOfBadRecords(t *testing.T) {
	const key, name, before = 1_000_000, "1000000", 2000
	var b *bench
	var at syncline.Cursor // where the route stood when the target had the record
	b = prioritised(t, 500, func(*syncline.Write) {
		if b.s != nil && at.Log == "" && b.rows()[name] != "" {
			at = b.s.Cursor()
		}
	})
	b.append(created(0, "first", "x"))
	b.mustDrain() // the rule is bound
	start := b.s.Cursor().Seq
	for i := range before {
		if i%10 == 5 {
			b.store.Refuse("dim", syncline.Key(strconv.Itoa(i+1)))
		}
		b.append(created(int64(i+1), "n", "x"))
	}
	b.append(critical(created(key, "a", "x")))
	b.offered(b.atEnd)
	if at.Seq-start > before/2 {
		t.Errorf("the critical event was written when %d of the %d events before it were done", at.Seq-start, before)
	}
	if c := b.balanced(); c.Parked != before/10 || len(b.rows()) != before-before/10+2 {
		t.Errorf("%d records, counts = %+v", len(b.rows()), c)
	}
}

// TestRetriesWaitForCompany while there are new events, for a second at the most.
func TestRetriesWaitForCompany(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Retry.Delay = time.Minute })
	b.store.Refuse("dim", "1")
	b.append(created(1, "a", "x"))
	b.mustDrain()
	for _, test := range []struct {
		after, wait time.Duration
		want        bool
	}{
		{time.Minute - 1, 0, false},
		{time.Minute, company, false},
		{time.Minute + company - 1, company, false},
		{time.Minute + company, company, true},
		{time.Minute, 0, true},
	} {
		if got := b.s.m.tryParked(b.now.Add(test.after), test.wait); got != test.want {
			t.Errorf("a retry after %s of a pause of a minute, which waits up to %s: tried = %v, want %v", test.after, test.wait, got, test.want)
		}
		b.s.m.inflight = nil
	}
}
