package state

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/poll"
)

// TestPolledRecords: what is noted for a batch counts at once, is what is known once the batch is confirmed, and is forgotten where it
// never got into the log.
func TestPolledRecords(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	a := func(key, hash string, state poll.State) poll.Seen {
		return poll.Seen{Key: syncline.Key(key), Hash: []byte(hash), State: state}
	}
	want := func(noted, settled uint64, known, after []poll.Seen) {
		t.Helper()
		if n, m, err := s.Noted(ctx, "shop"); err != nil || n != noted || m != settled {
			t.Errorf("Noted = %d, %d, %v, want %d, %d", n, m, err, noted, settled)
		}
		got, err := s.Known(ctx, "shop", "sale", []syncline.Key{"1", "2", "3", "4"})
		must(t, err)
		expected := make(map[syncline.Key]poll.Seen)
		for _, one := range known {
			expected[one.Key] = one
		}
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("Known (-want +got):\n%s", diff)
		}
		list, err := s.After(ctx, "shop", "sale", "", 10)
		must(t, err)
		if diff := cmp.Diff(after, list); diff != "" {
			t.Errorf("After (-want +got):\n%s", diff)
		}
	}
	settle := func(upTo uint64) {
		t.Helper()
		for more := true; more; {
			var err error
			more, err = s.Settle(ctx, "shop", upTo)
			must(t, err)
		}
	}
	want(0, 0, nil, nil)
	one, two, flagged := a("1", "x", poll.Live), a("2", "y", poll.Live), a("2", "z", poll.Flagged)
	must(t, s.Note(ctx, "shop", "sale", 5, []poll.Seen{one, two}))
	must(t, s.Note(ctx, "shop", "other", 5, []poll.Seen{a("3", "other", poll.Live)}))
	must(t, s.Note(ctx, "till", "sale", 9, []poll.Seen{a("4", "other", poll.Live)}))
	want(5, 0, []poll.Seen{one, two}, nil)
	must(t, s.Note(ctx, "shop", "sale", 6, []poll.Seen{flagged}))
	must(t, s.Note(ctx, "shop", "sale", 7, []poll.Seen{{Key: "1", State: poll.Gone}}))
	want(7, 0, []poll.Seen{flagged}, nil)
	settle(5)
	want(7, 5, []poll.Seen{flagged}, []poll.Seen{one, two})
	must(t, s.Discard(ctx, "shop", 6)) // a crash
	want(6, 5, []poll.Seen{one, flagged}, []poll.Seen{one, two})
	settle(6)
	settle(6)
	want(6, 6, []poll.Seen{one, flagged}, []poll.Seen{one, flagged})
	must(t, s.Note(ctx, "shop", "sale", 7, []poll.Seen{{Key: "1", State: poll.Gone}}))
	settle(9)
	want(7, 7, []poll.Seen{flagged}, []poll.Seen{flagged})
	list, err := s.After(ctx, "shop", "sale", "2", 10)
	if err != nil || len(list) > 0 {
		t.Errorf("behind the last: %v, %v", list, err)
	}
	if more, err := s.Forget(ctx, "shop", "sale"); err != nil || more {
		t.Errorf("Forget = %t, %v", more, err)
	}
	want(7, 7, nil, nil)
	if got, err := s.Known(ctx, "till", "sale", []syncline.Key{"4"}); err != nil || len(got) != 1 {
		t.Errorf("another source knows %v, %v", got, err)
	}
}

// TestManyPolledRecords are settled a part at a time, the last note of each.
func TestManyPolledRecords(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	note := func(position uint64, hash string) {
		var list []poll.Seen
		for i := range 2*settleStep + 10 {
			list = append(list, poll.Seen{Key: syncline.MakeKey(syncline.Int(int64(i))), Hash: []byte(hash)})
		}
		must(t, s.Note(ctx, "shop", "sale", position, list))
	}
	note(1, "old")
	note(2, "new")
	parts := 0
	for more := true; more; parts++ {
		var err error
		more, err = s.Settle(ctx, "shop", 2)
		must(t, err)
	}
	list, err := s.After(ctx, "shop", "sale", "", 5*settleStep)
	must(t, err)
	for _, one := range list {
		if string(one.Hash) != "new" {
			t.Fatalf("%s is %q", one.Key, one.Hash)
		}
	}
	if parts != 5 || len(list) != 2*settleStep+10 {
		t.Errorf("%d records in %d parts", len(list), parts)
	}
}
