package sourcetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// maxCrashPoints bounds the crash points of one test, where a source gives very many batches.
const maxCrashPoints = 40

// testSnapshot copies tables while the application writes, once for every batch that the recorder can crash after: before
// it is appended, and after.
func testSnapshot(t *testing.T, h Harness) {
	for point := 0; point < maxCrashPoints; point++ {
		if !snapshotCrash(t, h, point) {
			return
		}
	}
}

// snapshotCrash reports whether there were enough batches to get to the crash point.
func snapshotCrash(t *testing.T, h Harness, point int) (reached bool) {
	t.Run(fmt.Sprintf("point %d", point), func(t *testing.T) {
		ctx, sys := deadline(t), h.New(t)
		app := newApplication(sys, uint64(point), h.Entities()...)
		app.fill(t, 15)
		r := record(ctx, t, h, sys, uint64(point))
		copied := func() bool {
			for _, e := range h.Entities() {
				if !r.runEnded(syncline.RunSnapshot, e, "") {
					return false
				}
			}
			return true
		}
		for n := 0; !copied(); n++ {
			r.next(ctx)
			if n < 8 {
				app.transaction(t)
			}
			if n == point/2 {
				reached = true
				if point%2 == 0 {
					r.append()
				}
				r.crash(ctx)
			}
		}
		r.append()
		app.transaction(t)
		r.catchUpTo(ctx, app, app.insert(Item))
		r.wantRows(ctx, h.Entities())
	})
	return reached
}

// catchUpTo commits the insert and takes batches until it is there: for where a copy has some of what was committed, so that the stream need
// not have everything.
func (r *recorder) catchUpTo(ctx context.Context, a *application, insert Change) {
	r.t.Helper()
	a.commit(r.t, insert)
	if r.polled {
		r.look(ctx, a.entities)
		return
	}
	r.until(ctx, func() bool { return r.has(insert) })
}

// has reports whether the stream has the insert.
func (r *recorder) has(insert Change) bool {
	for _, b := range r.all() {
		for i := range b.Events {
			if b.Chunk == nil && insert.match(&b.Events[i]) == nil {
				return true
			}
		}
	}
	return false
}

// start asks the source for the run.
func (r *recorder) start(run syncline.Run) {
	r.t.Helper()
	if err := r.src.(syncline.RunReader).StartRun(run); err != nil {
		r.t.Fatalf("start run %s: %v", run.ID, err)
	}
}

// runRows lists the events of the run in the log.
func (r *recorder) runRows(id string) (events []*syncline.Event) {
	for _, b := range r.log {
		for i := range b.Events {
			if b.Chunk != nil && b.Chunk.Run == id {
				events = append(events, &b.Events[i])
			}
		}
	}
	return events
}

// wantRoutes checks that every chunk of the run names its routes and its kind.
func (r *recorder) wantRoutes(run syncline.Run) {
	r.t.Helper()
	for _, b := range r.log {
		if c := b.Chunk; c != nil && c.Run == run.ID {
			if diff := cmp.Diff(run.Routes, c.Routes); diff != "" {
				r.t.Errorf("chunk %d of run %s has other routes (-want +got):\n%s", c.Number, c.Run, diff)
			}
			if c.Kind != run.Kind || c.Reset && !run.Reset || c.EmptyBefore {
				r.t.Errorf("chunk %d of run %s: kind %s, reset %t, empty %t", c.Number, c.Run, c.Kind, c.Reset, c.EmptyBefore)
			}
		}
	}
}

// testFullRun reads a table while the application writes and the recorder crashes. The run alone must hold every row that
// nobody touched, and the whole log must lead to the table.
func testFullRun(t *testing.T, h Harness) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			ctx, sys := deadline(t), h.New(t)
			r := record(ctx, t, h, sys, seed)
			app := newApplication(sys, seed, Item, Pair)
			r.begin(ctx, h)
			app.fill(t, 55)
			r.catchUp(ctx, app)
			atStart := slices.Clone(app.rows[Item])

			run := syncline.Run{ID: "full-1", Kind: syncline.RunFull, Entity: Item, Routes: []string{"a", "b"}}
			r.start(run)
			for n := 0; !r.runEnded(run.Kind, run.Entity, run.ID); n++ {
				if n > 1000 {
					t.Fatalf("the run does not end while the application writes")
				}
				app.commit(t, app.insert(Pair))
				app.transaction(t)
				r.next(ctx)
				if n < 10 && r.rng.IntN(3) == 0 {
					r.append()
					r.crash(ctx)
					r.start(run)
				}
			}
			r.append()
			app.commit(t, app.insert(Pair))
			r.catchUp(ctx, app)
			r.wantStream(app)
			r.wantRoutes(run)
			r.wantRows(ctx, []string{Item, Pair})

			read := map[syncline.Key]bool{}
			for _, e := range r.runRows(run.ID) {
				k, _ := e.Key()
				read[k] = true
			}
			touched := map[syncline.Key]bool{}
			for _, c := range app.committed {
				if c.Op != syncline.OpCreated && c.Entity == Item {
					k, _ := syncline.Row{Schema: Tables[Item], Values: c.Old}.Key()
					touched[k] = true
				}
			}
			for _, row := range atStart {
				if k, _ := (syncline.Row{Schema: Tables[Item], Values: row}).Key(); !read[k] && !touched[k] {
					t.Errorf("the run does not have record %s, which nobody touched", k)
				}
			}
		})
	}
}

func testKeysRun(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 20)
	app := newApplication(sys, 20, Item, Pair)
	r.begin(ctx, h)
	app.fill(t, 30)
	gone := app.rows[Pair][4]
	app.commit(t, Change{Op: syncline.OpDeleted, Entity: Pair, Old: gone})
	r.catchUp(ctx, app)

	s := Tables[Pair]
	for _, k := range []syncline.Key{"", "4", "4,b,c", "%4"} {
		err := r.src.(syncline.RunReader).StartRun(syncline.Run{ID: "bad", Kind: syncline.RunKeys, Entity: Pair, Keys: []syncline.Key{k}})
		if syncline.ClassOf(err) != syncline.Rejected || syncline.CodeOf(err) != "bad_key" {
			t.Errorf("run of key %q, which has not two parts = %v, want bad_key", k, err)
		}
	}
	run := syncline.Run{ID: "keys-1", Kind: syncline.RunKeys, Entity: Pair, Routes: []string{"only"}}
	want := map[syncline.Key][]syncline.Value{}
	for _, row := range app.rows[Pair][:25] {
		k, _ := syncline.Row{Schema: s, Values: row}.Key()
		run.Keys, want[k] = append(run.Keys, k), row
	}
	for _, row := range [][]syncline.Value{gone, {syncline.Int(-7), syncline.Text("never, was"), syncline.Null}} {
		k, _ := syncline.Row{Schema: s, Values: row}.Key()
		run.Keys, want[k] = append(run.Keys, k), nil
	}
	r.start(run)
	r.until(ctx, func() bool { return r.runEnded(run.Kind, run.Entity, run.ID) })
	r.wantRoutes(run)
	for _, e := range r.runRows(run.ID) {
		k, _ := e.Key()
		row, asked := want[k]
		delete(want, k)
		switch {
		case !asked:
			t.Errorf("record %s comes unasked or twice", k)
		case (row == nil) != (e.Op == syncline.OpAbsent):
			t.Errorf("record %s is %s", k, e.Op)
		case row != nil && !slices.EqualFunc(arrange(e.Row()), row, syncline.Equal):
			t.Errorf("record %s is %v, want %v", k, arrange(e.Row()), row)
		}
	}
	if len(want) > 0 {
		t.Errorf("no answer for %d of %d keys", len(want), len(run.Keys))
	}

	// Whatever way a key is written, the answer has it as events have it.
	live, _ := syncline.Row{Schema: s, Values: app.rows[Pair][0]}.Key()
	none, _ := syncline.Row{Schema: s, Values: gone}.Key()
	spelled := syncline.Run{ID: "keys-2", Kind: syncline.RunKeys, Entity: Pair, Keys: []syncline.Key{"0" + live, "0" + none}}
	r.start(spelled)
	r.until(ctx, func() bool { return r.runEnded(spelled.Kind, spelled.Entity, spelled.ID) })
	var got []string
	for _, e := range r.runRows(spelled.ID) {
		k, _ := e.Key()
		got = append(got, e.Op.String()+" "+string(k))
	}
	if diff := cmp.Diff([]string{"repair " + string(live), "absent " + string(none)}, got); diff != "" {
		t.Errorf("answers to %q (-want +got):\n%s", spelled.Keys, diff)
	}
}

// testRunOnce asks again for runs that are going on and that have ended, beside and after a crash.
func testRunOnce(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 21)
	app := newApplication(sys, 21, Item, Pair)
	r.begin(ctx, h)
	app.fill(t, 35)
	r.catchUp(ctx, app)

	first := syncline.Run{ID: "once-1", Kind: syncline.RunFull, Entity: Item}
	second := syncline.Run{ID: "once-2", Kind: syncline.RunFull, Entity: Pair}
	r.start(first)
	r.start(second)
	r.start(first)
	r.until(ctx, func() bool { return r.runEnded(first.Kind, Item, first.ID) && r.runEnded(second.Kind, Pair, second.ID) })
	r.start(first)
	r.crash(ctx)
	r.start(second)
	app.commit(t, app.insert(Item))
	r.catchUp(ctx, app)
	if n := len(r.runRows(first.ID)); n != 35 {
		t.Errorf("run %s has %d rows, want 35", first.ID, n)
	}
	if n := len(r.runRows(second.ID)); n != 35 {
		t.Errorf("run %s has %d rows, want 35", second.ID, n)
	}
	r.wantStream(app)
}

func testResetRun(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 22)
	app := newApplication(sys, 22, h.Entities()...)
	r.begin(ctx, h)
	app.fill(t, 25)
	r.catchUp(ctx, app)
	for _, e := range h.Entities() {
		run := syncline.Run{ID: "reset-" + e, Kind: syncline.RunFull, Entity: e, Reset: true}
		r.start(run)
		for n := 0; !r.runEnded(run.Kind, e, ""); n++ {
			app.transaction(t)
			r.next(ctx)
			if n == 2 {
				r.append()
				r.crash(ctx)
				r.start(run)
			}
		}
		r.append()
	}
	r.catchUpTo(ctx, app, app.insert(Item))
	r.wantStream(app)
	r.wantRows(ctx, h.Entities())
	for _, e := range h.Entities() {
		if !slices.ContainsFunc(r.log, func(b *syncline.Batch) bool {
			return b.Chunk != nil && b.Chunk.Entity == e && b.Chunk.Kind == syncline.RunFull && b.Chunk.First && b.Chunk.Reset
		}) {
			t.Errorf("no chunk of %s resets", e)
		}
	}
}

// testKeylessRun: a run of a table without a key replaces what there is, whether or not whoever asks says so.
func testKeylessRun(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 24)
	app := newApplication(sys, 24, Loose, Item)
	r.begin(ctx, h)
	app.fill(t, 25)
	r.catchUp(ctx, app)
	run := syncline.Run{ID: "loose", Kind: syncline.RunFull, Entity: Loose}
	r.start(run)
	for n := 0; !r.runEnded(run.Kind, Loose, ""); n++ {
		app.transaction(t)
		r.next(ctx)
		if n == 2 {
			r.append()
			r.crash(ctx)
			r.start(run)
		}
	}
	r.append()
	r.catchUpTo(ctx, app, app.insert(Item))
	r.wantStream(app)
	r.wantRows(ctx, []string{Loose, Item})
	if n := len(r.runRows(run.ID)); n == 0 {
		t.Error("the run has no rows")
	}
}

func testUnknownRun(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 23)
	r.begin(ctx, h)
	run := syncline.Run{ID: "nothing", Kind: syncline.RunFull, Entity: "no_such_entity"}
	if err := r.src.(syncline.RunReader).StartRun(run); err != nil {
		if syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("run of an unknown entity: error = %v (%s), want it rejected", err, syncline.ClassOf(err))
		}
		return
	}
	for {
		b, err := r.src.Next(ctx)
		if err != nil {
			if ctx.Err() != nil || syncline.CodeOf(err) == "unknown" {
				t.Errorf("next of a run that cannot be done: %v", err)
			}
			return
		}
		if b.Chunk != nil && b.Chunk.Run == run.ID && b.Chunk.Last {
			return
		}
	}
}
