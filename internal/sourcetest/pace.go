package sourcetest

import (
	"slices"
	"strconv"
	"testing"

	"syncline"
)

// testPace: a run is read no further than it may be, also by a source that was opened anew, while the stream goes on; it is read in small
// chunks, and ends where it is given up.
func testPace(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 1)
	app := newApplication(sys, 1, Item, Pair)
	r.begin(ctx, h)
	app.fill(t, 40)
	r.catchUp(ctx, app)
	pace := func(id string, p syncline.Pace) { r.src.(syncline.RunPacer).Pace(id, p) }
	chunks := func(id string) (n uint32) {
		for _, b := range slices.Concat(r.log, r.pending) {
			if b.Chunk != nil && b.Chunk.Run == id {
				n = b.Chunk.Number
			}
		}
		return n
	}
	// idle has the stream bring something: what a run may not is not there before it.
	idle := func() {
		for range 3 {
			app.commit(t, app.insert(Pair))
			r.catchUp(ctx, app)
		}
	}

	run := syncline.Run{ID: "paced", Kind: syncline.RunFull, Entity: Item}
	pace(run.ID, syncline.Pace{Rows: 3})
	r.start(run)
	idle()
	if n := chunks(run.ID); n != 0 {
		t.Fatalf("a run that may not begin has %d chunks", n)
	}
	pace(run.ID, syncline.Pace{Upto: 2, Rows: 3})
	r.until(ctx, func() bool { return chunks(run.ID) == 2 })
	idle()
	r.crash(ctx)
	pace(run.ID, syncline.Pace{Upto: 2, Rows: 3})
	r.start(run)
	idle()
	if n := chunks(run.ID); n != 2 {
		t.Errorf("a run that may have 2 chunks has %d", n)
	}
	if got := len(r.runRows(run.ID)); got != 6 {
		t.Errorf("two chunks of 3 rows have %d rows", got)
	}
	others := syncline.Run{ID: "other", Kind: syncline.RunFull, Entity: Pair} // what is held holds up nobody else
	r.start(others)
	r.until(ctx, func() bool { return r.runEnded(others.Kind, others.Entity, others.ID) })
	pace(run.ID, syncline.Pace{Upto: 100})
	r.until(ctx, func() bool { return r.runEnded(run.Kind, run.Entity, run.ID) })
	// Where there is no order, a chunk may stand in the middle of a page, which is read again after the crash.
	if got := len(r.runRows(run.ID)); got != len(app.rows[Item]) && !(h.Unordered && got == len(app.rows[Item])+6) {
		t.Errorf("the run has %d rows, want %d", got, len(app.rows[Item]))
	}

	given := syncline.Run{ID: "given up", Kind: syncline.RunFull, Entity: Item}
	pace(given.ID, syncline.Pace{Upto: 1, Rows: 3})
	r.start(given)
	r.until(ctx, func() bool { return chunks(given.ID) == 1 })
	pace(given.ID, syncline.Pace{Upto: 1, Rows: 3, End: true})
	r.until(ctx, func() bool { return r.runEnded(given.Kind, given.Entity, given.ID) })
	if got := len(r.runRows(given.ID)); got != 3 || chunks(given.ID) != 2 {
		t.Errorf("a run that was given up after 3 rows has %d rows in %d chunks", got, chunks(given.ID))
	}
	pace(run.ID, syncline.Pace{End: true}) // it is over
	idle()
}

// testFrom: a run that begins behind a key has every record with a greater one, and no other; behind what is no key it ends and says so, or is
// refused.
func testFrom(t *testing.T, h Harness) {
	ctx, sys := deadline(t), h.New(t)
	r := record(ctx, t, h, sys, 2)
	app := newApplication(sys, 2, Item, Pair)
	r.begin(ctx, h)
	app.fill(t, 30)
	r.catchUp(ctx, app)
	var ids []int
	for _, row := range app.rows[Item] {
		k, _ := syncline.Row{Schema: Tables[Item], Values: row}.Key()
		id, err := strconv.Atoi(string(k))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	middle := ids[len(ids)/2]
	run := syncline.Run{ID: "from", Kind: syncline.RunFull, Entity: Item, From: syncline.MakeKey(syncline.Int(int64(middle)))}
	if h.Unordered {
		if err := r.src.(syncline.RunReader).StartRun(run); syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("a run behind a key: %v, want it rejected", err)
		}
		return
	}
	r.src.(syncline.RunPacer).Pace(run.ID, syncline.Pace{Upto: 1, Rows: 2})
	r.start(run)
	r.until(ctx, func() bool { return len(r.runRows(run.ID)) > 0 })
	r.append()
	r.crash(ctx)
	r.start(run)
	r.until(ctx, func() bool { return r.runEnded(run.Kind, run.Entity, run.ID) })
	var read []int
	for _, e := range r.runRows(run.ID) {
		k, _ := e.Key()
		id, _ := strconv.Atoi(string(k))
		read = append(read, id)
	}
	slices.Sort(read)
	if want := ids[len(ids)/2+1:]; !slices.Equal(read, want) {
		t.Errorf("the run behind %d has %v, want %v", middle, read, want)
	}

	bad := syncline.Run{ID: "bad", Kind: syncline.RunFull, Entity: Item, From: "1,2"}
	if err := r.src.(syncline.RunReader).StartRun(bad); err == nil {
		r.until(ctx, func() bool { return r.runEnded(bad.Kind, bad.Entity, bad.ID) })
		last := r.log[len(r.log)-1].Chunk
		if last == nil || last.Failed == "" || len(r.runRows(bad.ID)) > 0 {
			t.Errorf("a run behind a key with too many parts has %d rows, and ends with %+v", len(r.runRows(bad.ID)), last)
		}
	} else if syncline.CodeOf(err) != "bad_key" {
		t.Errorf("a run behind a key with too many parts: %v, want bad_key", err)
	}
}

// testTurns: a run of all records ends although keys are asked for as fast as they are answered, and so do it and a sweep although a polled source
// is asked for what is new as fast as it looks.
func testTurns(t *testing.T, h Harness) {
	often := []syncline.Run{{Kind: syncline.RunKeys, Entity: Item, Keys: []syncline.Key{"1", "2", "3"}}}
	if h.Polled {
		often = append(often, syncline.Run{Kind: syncline.RunPoll, Entity: Item})
	}
	for _, run := range often {
		t.Run(run.Kind.String(), func(t *testing.T) {
			ctx, sys := deadline(t), h.New(t)
			r := record(ctx, t, h, sys, 3)
			app := newApplication(sys, 3, Item, Pair)
			r.begin(ctx, h)
			app.fill(t, 50)
			r.catchUp(ctx, app)
			asked := 0
			ask := func() {
				asked++
				run.ID = "often-" + strconv.Itoa(asked)
				r.start(run)
			}
			ask()
			all := []syncline.Run{{ID: "all", Kind: syncline.RunFull, Entity: Item}}
			if h.Polled {
				all = append(all, syncline.Run{ID: "gone", Kind: syncline.RunSweep, Entity: Pair})
			}
			for _, one := range all {
				r.src.(syncline.RunPacer).Pace(one.ID, syncline.Pace{Upto: 1000, Rows: 5})
				r.start(one)
			}
			for _, one := range all {
				for !r.runEnded(one.Kind, one.Entity, one.ID) {
					if asked > 300 {
						t.Fatalf("the %s run does not end", one.Kind)
					}
					ask()
					r.next(ctx)
				}
			}
		})
	}
}
