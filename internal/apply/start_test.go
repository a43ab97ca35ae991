package apply

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/state"
)

// TestDecideStart has one line for each line of the table of cursors at start and after a reconnect.
func TestDecideStart(t *testing.T) {
	at := func(seq syncline.Seq, index int) syncline.Cursor {
		return syncline.Cursor{Log: "log", Seq: seq, Index: index, Epoch: 3}
	}
	normal := StartFacts{Known: true, Cursor: at(5, 2), Keeps: true, Found: true, Held: at(5, 2), HeldState: "state", State: "state",
		Log: "log", Bounds: syncline.Bounds{First: 2, Last: 9}}
	for _, test := range []struct {
		name   string
		change func(*StartFacts)
		move   StartMove
		code   string
		cursor syncline.Cursor
	}{
		{"goes on where it stood", func(*StartFacts) {}, StartRun, "", at(5, 2)},
		{"known before but missing at the target", func(f *StartFacts) { f.Found = false }, StartHalt, "cursor_lost", syncline.Cursor{}},
		{"another log", func(f *StartFacts) { f.Log = "other" }, StartHalt, "log_replaced", syncline.Cursor{}},
		{"above the log's end", func(f *StartFacts) { f.Bounds.Last = 4; f.Cursor, f.Held = at(6, 0), at(6, 0) }, StartHalt, "log_lost", syncline.Cursor{}},
		{"inside a batch beyond the end", func(f *StartFacts) { f.Bounds.Last = 4 }, StartHalt, "log_lost", syncline.Cursor{}},
		{"exactly at the end", func(f *StartFacts) { f.Bounds.Last = 4; f.Cursor, f.Held = at(5, 0), at(5, 0) }, StartRun, "", at(5, 0)},
		{"below the log's first entry", func(f *StartFacts) { f.Bounds.First = 6 }, StartNeedsSync, "needs_sync", at(5, 2)},
		{"below the store's copy: the target lost its tail", func(f *StartFacts) { f.Held = at(4, 0) }, StartRefill, "", at(4, 0)},
		{"the target knows another state store", func(f *StartFacts) { f.HeldState = "other" }, StartHalt, "state_lost", syncline.Cursor{}},
		{"the target knows a cursor that the store does not", func(f *StartFacts) { f.Known = false }, StartHalt, "state_lost", syncline.Cursor{}},
		{"the store is an older copy", func(f *StartFacts) { f.Held = at(7, 0) }, StartHalt, "state_lost", syncline.Cursor{}},
		{"begins", func(f *StartFacts) { f.Placing, f.Found = true, false }, StartPlace, "", at(5, 2)},
		{"begins again after a crash in between", func(f *StartFacts) { f.Placing = true }, StartPlace, "", at(5, 2)},
		{"begins above every owner that the target has had", func(f *StartFacts) { f.Placing = true; f.Held.Epoch = 8 }, StartPlace, "",
			syncline.Cursor{Log: "log", Seq: 5, Index: 2, Epoch: 8}},
		{"begins in a log that was replaced meanwhile", func(f *StartFacts) { f.Placing, f.Found = true, false; f.Log = "other" }, StartHalt, "log_replaced", syncline.Cursor{}},
		{"begins beyond the end of a log that was restored", func(f *StartFacts) { f.Placing, f.Found = true, false; f.Bounds.Last = 3 }, StartHalt, "log_lost", syncline.Cursor{}},
		{"begins below what is left of the log", func(f *StartFacts) { f.Placing, f.Found = true, false; f.Bounds.First = 6 }, StartNeedsSync, "needs_sync", at(5, 2)},
		{"begins in a log that is empty yet", func(f *StartFacts) {
			f.Placing, f.Found, f.Cursor, f.Bounds = true, false, at(1, 0), syncline.Bounds{}
		}, StartPlace, "", at(1, 0)},
		{"begins where another state store's cursor stands", func(f *StartFacts) { f.Placing = true; f.HeldState = "other" }, StartHalt, "state_lost", syncline.Cursor{}},
		{"begins anew over it because an operator said so", func(f *StartFacts) { f.Placing, f.Anew = true, true; f.HeldState = "other" }, StartPlace, "", at(5, 2)},
		{"the store holds the cursor", func(f *StartFacts) { f.Keeps, f.Found, f.Held = false, false, syncline.Cursor{} }, StartRun, "", at(5, 2)},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := normal
			test.change(&f)
			d := DecideStart(f)
			code := ""
			if d.Err != nil {
				code = d.Err.Code
			}
			if d.Move != test.move || code != test.code || d.Cursor != test.cursor {
				t.Errorf("DecideStart = move %d, %q, %+v, want %d, %q, %+v", d.Move, code, d.Cursor, test.move, test.code, test.cursor)
			}
		})
	}
}

func TestARouteBeginsWhereItsStartSays(t *testing.T) {
	for _, test := range []struct {
		start  Start
		covers bool
		filled bool // the log has entries when the route is registered
		seq    syncline.Seq
		run    bool
	}{
		{StartNow, false, true, 3, false},
		{StartEarliest, false, true, 1, false},
		{StartFull, false, true, 3, true},  // added later: a run of its own
		{StartFull, true, false, 1, false}, // the first snapshot is to come
		{StartFull, false, false, 1, true},
	} {
		b := newBench(t, func(o *Options) { o.Start, o.SnapshotCovers, o.ID = test.start, test.covers, "other" })
		if test.filled {
			b.append(created(1, "a", "x"))
			b.append(created(2, "b", "x"))
		}
		o := b.options
		o.ID = "new"
		o.Open = b.options.Open
		b.options = o
		b.runs = nil
		b.start()
		if got := b.s.Cursor().Seq; got != test.seq || (len(b.runs) > 0) != test.run {
			t.Errorf("start %s: begins at %d with %d runs, want %d and a run: %v", test.start, got, len(b.runs), test.seq, test.run)
		}
	}
}

// TestALostStateStoreIsNotBegunOver: a new store must not place a route over the cursor of the one that is gone, because what that
// cursor still had before it would be left out without a word.
func TestALostStateStoreIsNotBegunOver(t *testing.T) {
	b := newBench(t, nil)
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.append(created(2, "not applied yet", "x"))

	lost, err := state.Open(b.ctx, state.Options{Path: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lost.Close() })
	b.options.State, b.options.Start = lost, StartNow
	r, err := New(b.options)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Prepare(b.ctx, false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Begin(b.ctx); syncline.CodeOf(err) != "state_lost" {
		t.Fatalf("Begin = %v, want state_lost", err)
	}

	ctx, stop := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, b.ctx) }()
	if err := r.Restart(b.ctx); err != nil {
		t.Errorf("Restart = %v: an operator must be able to begin the route anew", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := r.Begin(b.ctx); err != nil || len(b.runs) == 0 {
		t.Errorf("Begin after Restart = %v with %d runs, want all records asked for", err, len(b.runs))
	}
}

// TestAnEventRouteSaysThatItsStateStoreIsAnother: a webhook holds no cursor, so only the log tells that there was a store before.
func TestAnEventRouteSaysThatItsStateStoreIsAnother(t *testing.T) {
	b := newBench(t, nil)
	b.append(created(1, "a", "x"))
	for _, test := range []struct {
		id        string
		forgotten bool
		events    bool
		start     Start
		want      string
	}{
		{"now", true, true, "", "left out"},
		{"earliest", true, true, StartEarliest, "sent again"},
		{"new rule", false, true, "", ""},
		{"holds its cursor", true, false, StartNow, ""},
	} {
		o := b.options
		o.ID, o.Start, o.Forgotten = test.id, test.start, test.forgotten
		r, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it is known
			if err := r.Prepare(b.ctx, test.events); err != nil {
				t.Fatal(err)
			}
		}
		got := strings.Join(r.Status().Warnings, "|")
		if test.want == "" && got != "" || !strings.Contains(got, test.want) || strings.Contains(got, "|") {
			t.Errorf("%s: warnings = %q, want one with %q", test.id, got, test.want)
		}
	}
}

// damaged is a target whose cursor cannot be read until another one is placed over it.
type damaged struct {
	syncline.Target
	syncline.CursorKeeper
	syncline.Definer
	is *bool
}

func (d damaged) Own(ctx context.Context, atLeast uint64) (syncline.Cursor, string, bool, error) {
	if *d.is {
		return syncline.Cursor{}, "", false, syncline.Errorf(syncline.Fatal, "cursor_damaged", "read the cursor: it is none")
	}
	return d.CursorKeeper.Own(ctx, atLeast)
}

func (d damaged) Place(ctx context.Context, c syncline.Cursor, state string) error {
	*d.is = false
	return d.CursorKeeper.Place(ctx, c, state)
}

// TestADamagedCursorIsBegunOver: only an operator has the route begin over it, and then it need not be read.
func TestADamagedCursorIsBegunOver(t *testing.T) {
	is := false
	b := newBench(t, func(o *Options) {
		open := o.Open
		o.Open = func(ctx context.Context) (syncline.Target, error) {
			target, err := open(ctx)
			return damaged{target, target.(syncline.CursorKeeper), target.(syncline.Definer), &is}, err
		}
	})
	b.append(created(1, "a", "x"))
	b.mustDrain()
	is = true
	for range 2 {
		if _, err := b.route.Begin(b.ctx); syncline.CodeOf(err) != "cursor_damaged" || !Lost(err) {
			t.Fatalf("Begin = %v, want cursor_damaged", err)
		}
	}
	if err := b.route.anew(b.ctx); err != nil {
		t.Fatal(err)
	}
	runs, epoch := len(b.runs), b.s.Cursor().Epoch
	b.begin()
	if got := b.s.Cursor(); is || got.Epoch <= epoch || len(b.runs) != runs+1 {
		t.Errorf("the route begins at %+v with runs %+v, want a higher epoch than %d and one run more than %d", got, b.runs, epoch, runs)
	}
	b.append(created(2, "b", "x"))
	b.mustDrain()
}

// TestARouteThatIsPlacedAgainAsksForTheSameRun: a crash while it was placed must not have every record read twice, but a route that
// an operator begins anew later has them read again.
func TestARouteThatIsPlacedAgainAsksForTheSameRun(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Start = StartFull })
	first := b.runs[0].ID
	b.append(created(1, "a", "x"))
	b.mustDrain()
	request := b.route.o.RequestRun
	crash := true
	b.route.o.RequestRun = func(ctx context.Context, r syncline.Run) error {
		if err := request(ctx, r); err != nil || !crash {
			return err
		}
		return syncline.Errorf(syncline.Transient, "state_io", "the answer was lost")
	}
	if err := b.route.anew(b.ctx); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := b.route.Begin(b.ctx); err == nil {
			t.Fatal("the route has begun")
		}
	}
	crash = false
	if _, err := b.route.Begin(b.ctx); err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, r := range b.runs[1:] {
		ids[r.ID] = true
	}
	if len(b.runs) != 4 || len(ids) != 1 || ids[first] {
		t.Errorf("runs = %+v, want one more than the first, asked for three times", b.runs)
	}
}
