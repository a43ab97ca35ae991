package targettest

import (
	"context"
	"errors"
	"testing"

	"syncline"
)

// runCommit checks how Apply uses Write.Commit and its context.
func runCommit(t *testing.T, h Harness) {
	t.Run("is called once with every outcome", func(t *testing.T) {
		e := open(t, h)
		s := customer()
		o := e.object(s)
		for _, n := range []int{0, 1, 3, 800} {
			w := e.write(e.traits.Events, e.some(o, s, n)...)
			calls := 0
			w.Commit = func(_ context.Context, r syncline.Result) error {
				calls++
				if len(r.Outcomes) != n {
					t.Errorf("Commit got %d outcomes for %d changes", len(r.Outcomes), n)
				}
				return nil
			}
			if _, err := e.Target.Apply(t.Context(), w); err != nil {
				t.Fatalf("Apply of %d changes: %v", n, err)
			}
			if calls != 1 {
				t.Errorf("Apply of %d changes called Commit %d times, want once", n, calls)
			}
			e.cursor = w.Cursor
		}
	})
	t.Run("gives up when it fails", func(t *testing.T) {
		e := open(t, h)
		s := customer()
		o := e.object(s)
		e.apply(e.traits.Events, e.some(o, s, 2)...)
		for _, n := range []int{0, 3, 800} {
			w := e.write(e.traits.Events, e.some(o, s, n)...)
			no := errors.New("state store is gone")
			w.Commit = func(context.Context, syncline.Result) error { return no }
			if _, err := e.Target.Apply(t.Context(), w); !errors.Is(err, no) {
				t.Errorf("Apply of %d changes = %v, want Commit's own error", n, err)
			}
			e.unmoved(s, o, 2)
		}
		e.apply(e.traits.Events, e.some(o, s, 3)...)
	})
	t.Run("a cancelled context", func(t *testing.T) {
		e := open(t, h)
		s := customer()
		o := e.object(s)
		e.apply(e.traits.Events, e.some(o, s, 2)...)
		ctx, cancel := context.WithCancel(t.Context())
		w := e.write(e.traits.Events, e.some(o, s, 5)...)
		w.Commit = func(ctx context.Context, _ syncline.Result) error {
			cancel()
			return ctx.Err()
		}
		if _, err := e.Target.Apply(ctx, w); err == nil {
			t.Error("Apply whose context ends in Commit = nil, want an error")
		}
		e.unmoved(s, o, 2)
		if _, err := e.Target.Apply(ctx, w); err == nil {
			t.Error("Apply with a cancelled context = nil, want an error")
		}
		e.unmoved(s, o, 2)
		e.apply(e.traits.Events, e.some(o, s, 3)...)
	})
}

// some makes n changes of a kind that the target takes, each of another key.
func (e *env) some(object string, s *syncline.Schema, n int) []syncline.Change {
	changes := make([]syncline.Change, n)
	for i := range changes {
		changes[i] = put(object, s, syncline.Int(int64(i)), syncline.Text("n"), syncline.Null)
		if e.traits.Events {
			changes[i].Op = syncline.ChangeSend
		}
	}
	return changes
}

// unmoved checks that a given-up Write left the cursor, and at a transactional target the n records of some. A keeper is
// owned anew, as after any error.
func (e *env) unmoved(s *syncline.Schema, object string, n int) {
	e.t.Helper()
	if k, ok := e.Target.(syncline.CursorKeeper); ok {
		seq := e.cursor.Seq
		e.own(k)
		if e.cursor.Seq != seq {
			e.t.Errorf("cursor after a write that was given up = seq %d, want %d", e.cursor.Seq, seq)
		}
	}
	if e.traits.Transactional && !e.traits.Events {
		var want [][]syncline.Value
		for _, c := range e.some(object, s, n) {
			want = append(want, c.Row.Values)
		}
		e.holds(object, s, want...)
	}
}

func runCursor(t *testing.T, h Harness) {
	if _, ok := h.Open(t).Target.(syncline.CursorKeeper); !ok {
		return
	}
	keeper := func(i Instance) syncline.CursorKeeper { return i.Target.(syncline.CursorKeeper) }
	t.Run("is not there at first", func(t *testing.T) {
		k := keeper(h.Open(t))
		for range 2 {
			if c, state, found, err := k.Own(t.Context(), 5); err != nil || found {
				t.Errorf("Own of a new slice = %v, %q, %v, %v, want not found", c, state, found, err)
			}
		}
	})
	t.Run("comes back as it was placed", func(t *testing.T) {
		i := h.Open(t)
		k := keeper(i)
		placed := syncline.Cursor{Log: "log 日本 '\"", Seq: 1<<36 - 1, Index: 1<<20 - 1, Epoch: 3}
		if err := k.Place(t.Context(), placed, "state-1"); err != nil {
			t.Fatalf("Place: %v", err)
		}
		for _, step := range []struct{ atLeast, want uint64 }{{0, 4}, {2, 5}, {5, 6}, {41, 42}} {
			placed.Epoch = step.want
			c, state, found, err := i.Reopen().(syncline.CursorKeeper).Own(t.Context(), step.atLeast)
			if err != nil || !found || c != placed || state != "state-1" {
				t.Errorf("Own at least %d = %+v, %q, %v, %v, want %+v", step.atLeast, c, state, found, err, placed)
			}
		}
		back := syncline.Cursor{Log: "log-b", Seq: 7, Epoch: 43}
		if err := k.Place(t.Context(), back, "state-2"); err != nil {
			t.Fatalf("Place again: %v", err)
		}
		back.Epoch = 44
		if c, state, _, err := k.Own(t.Context(), 0); err != nil || c != back || state != "state-2" {
			t.Errorf("Own after Place = %+v, %q, %v, want %+v", c, state, err, back)
		}
	})
	t.Run("is stored with the rows", func(t *testing.T) {
		e := open(t, h)
		s := customer()
		o := e.object(s)
		for _, n := range []int{0, 2, 800} {
			w := e.write(e.traits.Events, e.some(o, s, n)...)
			w.Cursor.Index = 5
			if _, err := e.Target.Apply(t.Context(), w); err != nil {
				t.Fatalf("Apply: %v", err)
			}
			c, state, found, err := e.Reopen().(syncline.CursorKeeper).Own(t.Context(), 0)
			want := w.Cursor
			want.Epoch++
			if err != nil || !found || c != want || state != "state-a" {
				t.Errorf("Own after Apply of %d = %+v, %q, %v, %v, want %+v", n, c, state, found, err, want)
			}
			e.own(e.Target.(syncline.CursorKeeper))
		}
	})
	t.Run("an old owner is fenced", func(t *testing.T) {
		e := open(t, h)
		s := customer()
		o := e.object(s)
		e.apply(e.traits.Events, e.some(o, s, 2)...)
		old := e.cursor
		second := e.Reopen()
		e.own(second.(syncline.CursorKeeper))
		now := e.cursor
		for _, n := range []int{0, 3, 800} {
			e.cursor = old
			_, err := e.Target.Apply(t.Context(), e.write(e.traits.Events, e.some(o, s, n)...))
			wantError(t, err, syncline.Fatal, "fenced")
		}
		e.Target = second
		e.cursor = now
		e.cursor.Epoch++ // as of an owner whom a restored target does not know yet
		_, err := e.Target.Apply(t.Context(), e.write(e.traits.Events, e.some(o, s, 3)...))
		wantError(t, err, syncline.Fatal, "fenced")
		e.cursor = now
		e.unmoved(s, o, 2)
		e.apply(e.traits.Events, e.some(o, s, 3)...)
	})
	t.Run("a write without a cursor is refused", func(t *testing.T) {
		i := h.Open(t)
		e := &env{Instance: i, t: t, h: h, traits: i.Target.Traits(), cursor: syncline.Cursor{Log: "log-a", Seq: 1, Epoch: 1}}
		s := customer()
		o := e.object(s)
		_, err := e.Target.Apply(t.Context(), e.write(e.traits.Events, e.some(o, s, 2)...))
		wantError(t, err, syncline.Fatal, "cursor_lost")
		if e.traits.Transactional && !e.traits.Events {
			e.holds(o, s)
		}
	})
	t.Run("a commit in flight is before the new owner or never", func(t *testing.T) {
		e := open(t, h)
		s := customer()
		o := e.object(s)
		for range 5 {
			second := e.Reopen().(syncline.CursorKeeper)
			w := e.write(e.traits.Events, e.some(o, s, 2)...)
			type owned struct {
				c   syncline.Cursor
				err error
			}
			got := make(chan owned, 1) // its only value is the new owner's answer
			asked := false
			w.Commit = func(context.Context, syncline.Result) error {
				asked = true
				go func() {
					c, _, _, err := second.Own(t.Context(), 0)
					got <- owned{c, err}
				}()
				return nil
			}
			_, err := e.Target.Apply(t.Context(), w)
			if !asked {
				t.Fatalf("Apply ended before its commit: %v", err)
			}
			own := <-got
			switch {
			case own.err != nil:
				t.Fatalf("Own beside a commit: %v", own.err)
			case err == nil && own.c.Seq != w.Cursor.Seq:
				t.Fatalf("Own beside a commit that happened = seq %d, want %d", own.c.Seq, w.Cursor.Seq)
			case err != nil && (syncline.CodeOf(err) != "fenced" || own.c.Seq != e.cursor.Seq):
				t.Fatalf("Apply = %v beside Own = seq %d, want fenced and %d", err, own.c.Seq, e.cursor.Seq)
			}
			e.own(e.Target.(syncline.CursorKeeper))
		}
	})
}

func wantError(t *testing.T, err error, class syncline.Class, code string) {
	t.Helper()
	if err == nil || syncline.ClassOf(err) != class || syncline.CodeOf(err) != code {
		t.Errorf("error = %v (%s, %s), want %s %s", err, syncline.ClassOf(err), syncline.CodeOf(err), class, code)
	}
}
