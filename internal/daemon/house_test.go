package daemon

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/memlog"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// TestWhatIsPurged: entries take a MiB, 100 of them fill the log.
func TestWhatIsPurged(t *testing.T) {
	full := config.Log{Retain: 24 * hour, MaxBytes: 100 << 20, OnFull: config.OnFullRelease}
	roomy := config.Log{Retain: 24 * hour, MaxBytes: 1 << 40, OnFull: config.OnFullRelease}
	pause := full
	pause.OnFull = config.OnFullPause
	for _, tc := range []struct {
		name     string
		log      config.Log
		old, new int            // entries older and younger than retain
		at       []syncline.Seq // cursors of the routes a, b, …
		first    syncline.Seq
		gaps     string
	}{
		{"all applied and old: never the last", roomy, 80, 0, []syncline.Seq{81, 81}, 80, ""},
		{"without a route", roomy, 80, 0, nil, 80, ""},
		{"not below the slowest", roomy, 200, 0, []syncline.Seq{201, 90}, 90, ""},
		{"not what is younger than retain", roomy, 70, 30, []syncline.Seq{101}, 71, ""},
		{"not less than a step", roomy, 60, 30, []syncline.Seq{91}, 1, ""},
		{"full: retain gives way", full, 0, 100, []syncline.Seq{101, 70}, 70, ""},
		{"full: the farthest behind is released", full, 0, 100, []syncline.Seq{90, 7, 80}, 80, "b 7-79"},
		{"full: one at a time", full, 0, 100, []syncline.Seq{7, 30, 101}, 30, "a 7-29"},
		{"full: several at one place", full, 0, 100, []syncline.Seq{7, 7, 101}, 7, "a 7-7"},
		{"full: not one of the newer half", full, 0, 100, []syncline.Seq{60, 101}, 60, ""},
		{"full: the only one", full, 0, 100, []syncline.Seq{1}, 100, "a 1-99"},
		{"full, and to pause", pause, 0, 100, []syncline.Seq{7, 101}, 7, ""},
		{"not yet full", full, 0, 95, []syncline.Seq{7, 96}, 1, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, tc.log)
			h.append(tc.old, 25*hour)
			h.append(tc.new, hour)
			for i, at := range tc.at {
				h.route(string(rune('a'+i)), at)
			}
			h.keep(true)
			h.want(tc.first, tc.gaps)
		})
	}
}

// TestAPurgeForgetsWhatBelongsToIt: ids of events, batches of routes and runs that are over; not those of what stays.
func TestAPurgeForgetsWhatBelongsToIt(t *testing.T) {
	h := newHouse(t, config.Log{MaxBytes: 1 << 40})
	h.append(200, hour)
	sl := state.Slice{Route: h.route("r", 80).id}
	at := func(seq syncline.Seq) syncline.Cursor { return syncline.Cursor{Log: h.log.ID(), Seq: seq, Epoch: 1} }
	one := state.Counts{Read: 1, Applied: 1}
	for _, c := range []state.Commit{
		{Slice: sl, Settled: 80, Journal: &state.Journal{From: at(80), To: at(120), Counts: one, Outcomes: state.AppendOutcomes(nil, []state.Outcome{state.Applied})}},
		{Slice: sl, Settled: 120, Journal: &state.Journal{From: at(120), To: at(201), Counts: one, Outcomes: state.AppendOutcomes(nil, []state.Outcome{state.Applied})}},
	} {
		if err := h.state.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for id, seq := range map[string]syncline.Seq{"gone": 119, "there": 120} {
		if err := h.state.SaveIDs(t.Context(), "crm", seq, map[string][]byte{id: {1}}); err != nil {
			t.Fatal(err)
		}
		run := state.RunRow{Run: syncline.Run{ID: id}, Source: "crm", Status: state.RunRunning}
		if id == "gone" {
			run.Status = state.RunDone
		}
		if err := errors.Join(h.state.AddSync(t.Context(), run), h.state.UpdateRun(t.Context(), run)); err != nil {
			t.Fatal(err)
		}
	}
	h.keep(true)
	h.want(120, "")

	ids, err := h.state.SeenIDs(t.Context(), "crm", []string{"gone", "there"})
	if err != nil || len(ids) != 1 || ids["there"] == nil {
		t.Errorf("ids that are known = %v, %v", ids, err)
	}
	runs, err := h.state.Runs(t.Context(), "crm", 10)
	if err != nil || len(runs) != 1 || runs[0].ID != "there" {
		t.Errorf("runs that are known = %+v, %v", runs, err)
	}
	for seq, want := range map[syncline.Seq]bool{100: false, 150: true} {
		if _, ok, err := h.state.JournalOver(t.Context(), sl, seq, 0); err != nil || ok != want {
			t.Errorf("the batch of entry %d is known: %v, %v, want %v", seq, ok, err, want)
		}
	}
}

// TestWhatAServerHoldsNeedsTheRoomMore: what is younger than retain is purged while a source spills.
func TestWhatAServerHoldsNeedsTheRoomMore(t *testing.T) {
	h := newHouse(t, config.Log{Retain: 24 * hour, MaxBytes: 1 << 40})
	h.append(100, hour)
	h.route("r", 101)
	h.keep(true)
	h.want(1, "")
	h.set().sources[0].spilling.Store(true)
	h.keep(true)
	h.want(100, "")
}

// TestTheCopyIsNotTheCursor: a crash may leave the store's copy ahead of the target. Nothing in between is purged before the target was
// asked.
func TestTheCopyIsNotTheCursor(t *testing.T) {
	h := newHouse(t, config.Log{Retain: hour, MaxBytes: 1 << 40, OnFull: config.OnFullRelease})
	h.append(200, 25*hour)
	r := h.route("r", 80)
	for _, seq := range []syncline.Seq{120, 201} {
		was, err := h.state.Route(t.Context(), state.Slice{Route: r.id})
		if err != nil {
			t.Fatal(err)
		}
		c := state.Commit{Slice: state.Slice{Route: r.id}, Settled: was.Cursor.Seq, Cursor: syncline.Cursor{Log: h.log.ID(), Seq: seq, Epoch: 1}}
		if err := h.state.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	h.keep(true)
	h.want(120, "")
}

// TestARouteAtWorkHoldsWhatItsTargetHasNotStored: it has passed what does not concern it, and a batch is in flight, so that the copy has
// moved too. Once the target was asked again, that is purged.
func TestARouteAtWorkHoldsWhatItsTargetHasNotStored(t *testing.T) {
	h := newHouse(t, config.Log{Retain: hour, MaxBytes: 1 << 40, OnFull: config.OnFullRelease})
	h.append(200, 25*hour)
	h.open = func(context.Context) (syncline.Target, error) { return memtarget.NewRecorder(), nil }
	r := h.route("r", 80)
	passed := func() bool {
		st := r.apply.Status()
		return st.State == apply.RouteRunning && st.Cursor.Seq == 201
	}
	eventually(t, "the route has caught up", passed)
	known, err := h.state.Route(t.Context(), state.Slice{Route: r.id})
	if err != nil {
		t.Fatal(err)
	}
	c := state.Commit{Slice: state.Slice{Route: r.id}, Settled: r.apply.Status().Settled, Cursor: known.Cursor}
	c.Cursor.Seq = 201
	if err := h.state.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	h.keep(true)
	h.want(80, "")

	if err := r.apply.Recheck(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the route knows where its target stands", func() bool { return r.apply.Status().Settled == 201 })
	h.keep(true)
	h.want(200, "")
}

// TestWhereATargetStoodIsNothingToARouteThatBegins: an operator has it begin anew, and its target, which is down, is placed there first.
func TestWhereATargetStoodIsNothingToARouteThatBegins(t *testing.T) {
	h := newHouse(t, config.Log{Retain: hour, MaxBytes: 1 << 40, OnFull: config.OnFullRelease})
	h.append(200, 25*hour)
	down, open := h.open, atomic.Bool{}
	open.Store(true)
	h.open = func(ctx context.Context) (syncline.Target, error) {
		if open.Load() {
			return memtarget.NewRecorder(), nil
		}
		return down(ctx)
	}
	r := h.route("r", 80)
	open.Store(false)
	if err := r.apply.Recheck(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the route has lost its target", func() bool { return r.apply.Status().State == apply.RouteDegraded })
	err := h.state.PlaceRoute(t.Context(), state.Slice{Route: r.id}, state.Route{Placing: true, Source: "crm", Signature: "1",
		Cursor: syncline.Cursor{Log: h.log.ID(), Seq: 150, Epoch: 9}})
	if err != nil {
		t.Fatal(err)
	}
	h.keep(true)
	h.want(150, "")
}

// TestASmallDiskIsAQuota: a log may take half of what its disk has, whatever max_bytes says. What the others on a full disk have
// taken cannot be got back by giving a small log up.
func TestASmallDiskIsAQuota(t *testing.T) {
	for _, tc := range []struct {
		name          string
		entries, free int // MiB
		first         syncline.Seq
		gaps          string
	}{
		{"half of it", 200, 180, 190, "a 7-189"},
		{"less than half of it", 200, 240, 1, ""},
		{"full", 200, 0, 190, "a 7-189"},
		{"full of something else", 60, 0, 1, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, config.Log{Retain: 24 * hour, MaxBytes: 1 << 40, OnFull: config.OnFullRelease})
			h.free = int64(tc.free) << 20
			h.append(tc.entries, hour)
			h.route("a", 7)
			h.route("b", syncline.Seq(tc.entries-10))
			h.keep(true)
			h.want(tc.first, tc.gaps)
		})
	}
}

// TestARefusedBatchMeansThatTheLogIsFull: a batch larger than what is left is refused however empty the log looks. The house is kept
// at once, and the source tries again at once.
func TestARefusedBatchMeansThatTheLogIsFull(t *testing.T) {
	h := newHouse(t, config.Log{Retain: 24 * hour, MaxBytes: 100 << 20, OnFull: config.OnFullRelease})
	h.append(80, hour)
	slow := h.route("slow", 3)
	h.route("fast", 81)
	h.keep(true)
	h.want(1, "")

	s := h.set().sources[0]
	h.stalled(s, syncline.Errorf(syncline.Transient, "log_disk", "the disk is full"))
	h.stalled(s, errors.New("something else"))
	if len(h.housework) != 0 || s.refused.Load() {
		t.Error("the house is kept for what no purge can mend")
	}
	h.stalled(s, syncline.Errorf(syncline.Transient, "log_full", "there is no room for 30 MB"))
	if len(h.housework) != 1 {
		t.Error("a full log waits for the next round")
	}
	h.keep(false)
	h.want(80, "slow 3-79")
	eventually(t, "the released route says so", func() bool {
		st := slow.apply.Status()
		return st.State == apply.RouteNeedsSync && syncline.CodeOf(st.Err) == "needs_sync"
	})
	h.append(20, hour)
	h.keep(true)
	h.want(80, "slow 3-79")
}

// looked is a log that counts how often it is read.
type looked struct {
	syncline.Log
	reads int
}

func (l *looked) Read(ctx context.Context, from syncline.Seq) (syncline.LogReader, error) {
	l.reads++
	return l.Log.Read(ctx, from)
}

// TestARoundLooksAtOneEntry where nothing has come of age since the last one, however long the log is.
func TestARoundLooksAtOneEntry(t *testing.T) {
	type round struct {
		name     string
		old, new int // appended before it
		most     int // entries looked at
		first    syncline.Seq
	}
	for _, rounds := range [][]round{
		{{"all is young", 0, 1000, 1, 1}, {"nothing has changed", 0, 0, 1, 1}},
		{{"too little is old for a purge", 60, 1000, 12, 1}, {"nothing has changed since", 0, 0, 1, 1}, {"an entry more", 0, 1, 1, 1}},
		{{"all is old", 100, 0, 8, 100}, {"more is old", 100, 0, 9, 200}, {"what follows is young", 0, 10, 5, 200}},
	} {
		h := newHouse(t, config.Log{Retain: 24 * hour, MaxBytes: 1 << 40})
		log := &looked{Log: h.set().sources[0].log}
		h.set().sources[0].log = log
		for _, r := range rounds {
			h.append(r.old, 25*hour)
			h.append(r.new, hour)
			log.reads = 0
			h.keep(true)
			h.want(r.first, "")
			if log.reads > r.most {
				t.Errorf("%s: %d entries were looked at, want no more than %d", r.name, log.reads, r.most)
			}
		}
	}
}

// TestAClockThatIsSetBack: what a clock took for old that was ahead is kept for as long as any other, once it was set right.
func TestAClockThatIsSetBack(t *testing.T) {
	h := newHouse(t, config.Log{Retain: 24 * hour, MaxBytes: 1 << 40})
	h.append(60, 25*hour)
	h.append(40, hour)
	s := h.set().sources[0]
	bounds, err := s.log.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, round := range []struct {
		ahead time.Duration
		want  syncline.Seq
	}{{0, 61}, {30 * 24 * hour, 100}, {0, 61}, {-48 * hour, 1}, {0, 61}} {
		got, err := h.firstYounger(t.Context(), s, bounds, time.Now().Add(round.ahead-24*hour))
		if err != nil || got != round.want {
			t.Errorf("by a clock that is %s ahead the first entry that is kept is %d, %v, want %d", round.ahead, got, err, round.want)
		}
	}
}

// hung is a log whose readers get nothing.
type hung struct{ *memlog.Log }

func (hung) Read(ctx context.Context, _ syncline.Seq) (syncline.LogReader, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestARouteThatWorksIsGivenTime: a burst may fill the log before a route that works has caught up, or has stored that it has.
func TestARouteThatWorksIsGivenTime(t *testing.T) {
	full := config.Log{Retain: 24 * hour, MaxBytes: 100 << 20, OnFull: config.OnFullRelease}
	working := func(context.Context) (syncline.Target, error) { return memtarget.NewRecorder(), nil }
	t.Run("that is behind", func(t *testing.T) {
		h := newHouse(t, full)
		h.append(110, hour)
		h.open, h.read = working, hung{h.log}
		h.route("slow", 7)
		h.keep(false)
		h.want(7, "")
		h.keep(true)
		h.want(110, "slow 7-109")
	})
	t.Run("that has nothing to write", func(t *testing.T) {
		h := newHouse(t, full)
		h.append(110, hour)
		h.open = working
		idle := h.route("idle", 7)
		eventually(t, "the route has caught up", func() bool { return idle.apply.Status().Cursor.Seq == 111 })
		h.keep(true)
		h.keep(true)
		h.want(7, "")
	})
}

// TestAGapGrowsWithThePurge: what a released route lacks is what the log no longer has, at any time, and it holds nothing back.
func TestAGapGrowsWithThePurge(t *testing.T) {
	h := newHouse(t, config.Log{Retain: 24 * hour, MaxBytes: 100 << 20, OnFull: config.OnFullRelease})
	h.append(100, hour)
	h.route("slow", 3)
	fast := h.route("fast", 80)
	h.keep(true)
	h.want(80, "slow 3-79")
	h.append(80, hour)
	if err := h.state.UpdateRoute(t.Context(), state.Slice{Route: fast.id}, func(r *state.Route) { r.Cursor.Seq = 170 }); err != nil {
		t.Fatal(err)
	}
	h.keep(true)
	h.want(170, "slow 3-169")
}

// TestARouteThatNeedsASyncHoldsNothing: it begins at the log's end, whatever is kept for it.
func TestARouteThatNeedsASyncHoldsNothing(t *testing.T) {
	h := newHouse(t, config.Log{Retain: 24 * hour, MaxBytes: 100 << 20, OnFull: config.OnFullPause})
	h.append(100, hour)
	if err := h.log.Purge(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	h.open = func(context.Context) (syncline.Target, error) { return memtarget.NewRecorder(), nil }
	behind := h.route("behind", 5)
	eventually(t, "the route needs a sync", func() bool { return behind.apply.Status().State == apply.RouteNeedsSync })
	h.append(9, hour)
	h.keep(true)
	h.want(109, "")
}

// TestTheBacklogIsCountedWhereARouteHasIt still to read, whatever its target had stored before its last write.
func TestTheBacklogIsCountedWhereARouteHasIt(t *testing.T) {
	h := newHouse(t, config.Log{})
	h.append(200, hour)
	s := h.set().sources[0]
	log := &readsCounted{Log: s.log}
	s.log = log
	if err := s.tally.load(t.Context(), log); err != nil {
		t.Fatal(err)
	}
	loaded := log.reads
	r := h.route("r", 80)
	c := state.Commit{Slice: state.Slice{Route: r.id}, Settled: 80, Cursor: syncline.Cursor{Log: h.log.ID(), Seq: 201, Epoch: 1}}
	if err := h.state.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	h.countBacklog(t.Context(), s)
	h.countAgain(t.Context())
	if log.reads > loaded {
		t.Errorf("%d entries are read though no route has any before it", log.reads-loaded)
	}
	h.route("behind", 80)
	h.countBacklog(t.Context(), s)
	if log.reads == loaded {
		t.Error("nothing is read where a route has 121 entries before it")
	}
}
