package apply

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"syncline"
	"syncline/internal/failpoint"
	"syncline/internal/plant"
	"syncline/internal/state"
)

// Session is a route between opening its target and losing it. Its methods carry out what the machine decides, one at a time;
// only run has goroutines.
type Session struct {
	r      *Route
	target syncline.Target
	m      *machine
	over   bool // the next session is wanted
	// reached is what the target has reached for certain. It is not written to while a plan is in flight.
	reached syncline.Seq
	// keys are how the rules make target keys, as the state store has it.
	keys map[string]state.KeyMapping
	// mixed: the target holds records of older versions of the rules too.
	mixed bool
	// schemas are what the rules' objects fit, by rule, as the state store has it.
	schemas map[string]state.RuleSchema
}

// Prepare registers a route that has never run, or whose signature changed or is forgotten, at the place where it begins. It needs
// the state store and the log, not the target. Call it before capture appends anything, so that a first snapshot is not missed.
func (r *Route) Prepare(ctx context.Context, events bool) error {
	known, err := r.o.State.Route(ctx, r.slice)
	if err != nil {
		return err
	}
	if known.Known && known.Signature == r.o.Signature {
		return nil
	}
	return r.begin(ctx, known, events)
}

// begin places the route where its start says.
func (r *Route) begin(ctx context.Context, known state.Route, events bool) error {
	bounds, err := r.o.Log.Bounds(ctx)
	if err != nil {
		return err
	}
	start := r.o.Start
	if start == "" {
		start = StartFull
		if events {
			start = StartNow
		}
	}
	at := syncline.Cursor{Log: r.o.Log.ID(), Seq: bounds.Last + 1, Epoch: known.Cursor.Epoch}
	if start == StartEarliest {
		at.Seq = bounds.First
	}
	at.Seq = max(at.Seq, 1)
	if r.o.Forgotten && events && !known.Known { // a target that holds a cursor notices by itself (state_lost)
		r.forgot(start, bounds.Last)
	}
	next := state.Route{Placing: true, Cursor: at, Source: r.o.Source, Signature: r.o.Signature,
		Version: r.o.Version, Updated: r.o.Now()}
	if start == StartFull {
		next.Run = runStart
		if bounds.Last == 0 && r.o.SnapshotCovers {
			next.Run = RunInitial
		}
	}
	return r.o.State.PlaceRoute(ctx, r.slice, next)
}

// forgot tells that the route begins by its start, although it may have run before with a state store that is gone.
func (r *Route) forgot(start Start, end syncline.Seq) {
	risk := "what it had not delivered yet is left out"
	switch start {
	case StartEarliest:
		risk = "what it had delivered is sent again"
	case StartFull:
		risk = "what it had not delivered yet is left out, and every record is sent as it is now"
	}
	r.log.Warn("state store does not know the log", "log_end", end, "start", start, "risk", risk)
	r.warn(fmt.Sprintf("the state store does not know the log, which has entries up to %d: if this route ran before, with another state store, %s (start: %s)",
		end, risk, start))
}

// Begin opens the target, takes ownership and finds out where to go on (DecideStart).
func (r *Route) Begin(ctx context.Context) (*Session, error) {
	known, err := r.o.State.Route(ctx, r.slice)
	if err != nil {
		return nil, err
	}
	if err := lostHold(&known, anew); err != nil {
		return nil, err
	}
	target, err := r.o.Open(ctx)
	if err != nil {
		return nil, err
	}
	s := &Session{r: r, target: target}
	err = s.mayKeep()
	if err == nil {
		err = s.start(ctx, known)
	}
	if err != nil {
		_ = target.Close()
		return nil, err
	}
	return s, nil
}

// lostHold says what the log has given up before the route had applied it; nil = nothing.
func lostHold(known *state.Route, fix string) error {
	if known.GapTo == 0 {
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "needs_sync", "the log gave up sequences %d to %d before this route had applied them", known.GapFrom, known.GapTo).
		WithFix("%s", fix)
}

func (s *Session) start(ctx context.Context, known state.Route) error {
	r := s.r
	facts := StartFacts{Known: known.Known, Placing: known.Placing, Anew: known.Run == runSync, Cursor: known.Cursor, State: r.o.State.ID(), Log: r.o.Log.ID()}
	keeper, keeps := s.target.(syncline.CursorKeeper)
	if keeps {
		held, store, found, err := keeper.Own(ctx, known.Cursor.Epoch)
		if facts.Placing && facts.Anew && syncline.CodeOf(err) == "cursor_damaged" {
			err = nil // it is written over, whatever it was
		}
		if err != nil {
			return err
		}
		if found {
			if held, found, err = r.claim(ctx, keeper, held); err != nil {
				return err
			}
		}
		facts.Keeps, facts.Found, facts.Held, facts.HeldState = true, found, held, store
	}
	var err error
	if facts.Bounds, err = r.o.Log.Bounds(ctx); err != nil {
		return err
	}
	d := DecideStart(facts)
	switch d.Move {
	case StartHalt, StartNeedsSync:
		return d.Err
	case StartRefill:
		r.log.Info("target stands before what was handed to it: applying again from the log", "seq", d.Cursor.Seq, "known_seq", known.Cursor.Seq)
	}
	epochs, err := s.epochs(ctx, d.Move == StartPlace)
	if err != nil {
		return err
	}
	at := d.Cursor
	if plant.SilentGap && at.Seq < facts.Bounds.First {
		at.Seq, at.Index = facts.Bounds.First, 0
	}
	if d.Move == StartPlace {
		if at, err = s.place(ctx, known, at, keeper); err != nil {
			return err
		}
		if keeps {
			r.owned = at.Epoch
		}
	} else if !keeps {
		at.Epoch = known.Cursor.Epoch + 1
	}
	reopened, err := r.o.State.Rewind(ctx, r.slice, at)
	if err != nil {
		return err
	}
	if err := s.versioned(ctx, known, d.Move == StartPlace); err != nil {
		return err
	}
	if len(reopened) > 0 {
		r.log.Info("tasks that were resolved after the target's cursor are applied again", "tasks", len(reopened))
	}
	if s.schemas, err = r.o.State.Schemas(ctx, r.slice); err != nil {
		return err
	}
	pending, err := r.o.State.Pending(ctx, r.slice)
	if err != nil {
		return err
	}
	r.soonEnough(pending)
	s.m = newMachine(s.planner(epochs, pending), r.slice, r.o.Version, keeps, at, r.o.Limits, r.o.Retry)
	if err := s.choices(ctx); err != nil {
		return err
	}
	done, err := r.o.State.Ahead(ctx, r.slice)
	if err != nil {
		return err
	}
	s.m.startAhead(r.o.Priorities, done)
	s.m.saved, s.m.stored = r.o.Now(), at.Seq
	s.reached = at.Seq
	r.update(func(st *Status) { st.Cursor, st.Settled, st.Parked = at, s.reached, s.m.parking.tasks() })
	return s.ask(ctx, pending)
}

// soonEnough has no task wait for longer than a retry ever does: the clock may have been set back since its next try was noted.
func (r *Route) soonEnough(pending []state.Exception) {
	latest := r.o.Now().Add(r.o.Retry.withDefaults().MaxDelay)
	for i := range pending {
		if pending[i].NextTry.After(latest) {
			pending[i].NextTry = latest
		}
	}
}

// place begins the route at the target, then in the state store, then asks for the records that were there before. A crash in
// between repeats it: nothing was applied yet.
func (s *Session) place(ctx context.Context, known state.Route, at syncline.Cursor, keeper syncline.CursorKeeper) (syncline.Cursor, error) {
	r := s.r
	at.Epoch++
	failpoint.Hit("apply.place.before")
	if keeper != nil {
		if err := keeper.Place(ctx, at, r.o.State.ID()); err != nil {
			return at, err
		}
	}
	if (known.Run == runStart || known.Run == runSync) && !r.o.LogOnly {
		for _, rule := range r.rules {
			run := syncline.Run{ID: runID("start", r.o.ID, rule.Entity, known.Cursor), Kind: syncline.RunFull, Entity: rule.Entity, Routes: []string{r.o.ID}}
			if err := r.o.RequestRun(ctx, run); err != nil {
				return at, err
			}
		}
	}
	failpoint.Hit("apply.place.after")
	return at, r.o.State.UpdateRoute(ctx, r.slice, func(row *state.Route) {
		row.Known, row.Placing, row.Cursor, row.Updated = true, false, at, r.o.Now()
	})
}

// epochs returns the log's epoch at each rule's object. Where a route begins they come before the cursor: a crash in between
// begins it again.
func (s *Session) epochs(ctx context.Context, begins bool) ([]uint8, error) {
	list := make([]uint8, len(s.r.rules))
	guarded, ok := s.target.(syncline.Guarded)
	for i := range list {
		list[i] = 1
		if !ok || s.r.rules[i].Conflicts != nil { // there the order of a change vetoes nothing, and other logs write the object, too
			continue
		}
		var err error
		if list[i], err = guarded.LogEpoch(ctx, s.r.rules[i].Object, s.r.o.Log.ID(), begins); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// newPlanner makes a planner of the rules; epochs are the log's at their objects.
func newPlanner(rules []Rule, traits syncline.Traits, epochs []uint8, pending []state.Exception) planner {
	pl := planner{byEntity: make(map[string][]int), traits: traits}
	index := make(map[string]int, len(rules))
	writers := make(map[string]int)
	for i := range rules {
		writers[rules[i].Object]++
	}
	for i := range rules {
		pl.rules = append(pl.rules, &bound{Rule: &rules[i], epoch: epochs[i], shared: writers[rules[i].Object] > 1})
		pl.byEntity[rules[i].Entity] = append(pl.byEntity[rules[i].Entity], i)
		index[rules[i].ID] = i
	}
	pl.parking = newParking(index, newMoves(traits.Events, pl.rules), pending)
	return pl
}

// ask requests the source's answer for every task that waits for it. Tasks whose records it cannot read wait for a person, and
// nothing else waits for them.
func (s *Session) ask(ctx context.Context, tasks []state.Exception) error {
	if err := s.m.crowded(); err != nil {
		return err
	}
	wanted := asks(tasks)
	for _, entity := range slices.Sorted(maps.Keys(wanted)) {
		keys := wanted[entity]
		err := s.r.requestRun(ctx, syncline.Run{ID: readID(s.r.o.ID, entity, tasks),
			Kind: syncline.RunKeys, Entity: entity, Keys: keys, Routes: []string{s.r.o.ID}})
		if err != nil && syncline.ClassOf(err) != syncline.Transient {
			err = s.unanswered(ctx, tasks, entity, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unanswered fails the entity's tasks that wait for records which the source does not read.
func (s *Session) unanswered(ctx context.Context, tasks []state.Exception, entity string, why error) error {
	c := &state.Commit{Slice: s.r.slice}
	for _, x := range tasks {
		if x.Status == state.StatusReading && x.Entity == entity {
			fault(&x, why)
			x.Status, x.Updated = state.StatusFailed, s.r.o.Now()
			c.Update = append(c.Update, x)
		}
	}
	if err := s.r.o.State.Commit(ctx, *c); err != nil {
		return err
	}
	s.m.parking.fold(c)
	s.m.forget()
	return nil
}

// Next is the sequence number of the entry that Take wants next.
func (s *Session) Next() syncline.Seq { return s.m.expects() }

// Wants reports whether Take may be called: what is read ahead is bounded.
func (s *Session) Wants() bool { return s.m.wants() }

// Take gives the session the next entry of the log.
func (s *Session) Take(d Fed) error { return s.m.take(d) }

// Cursor is how far the session has applied.
func (s *Session) Cursor() syncline.Cursor { return s.m.committed }

// Parked is the number of tasks that wait.
func (s *Session) Parked() int { return s.m.parking.tasks() }

// Close closes the target.
func (s *Session) Close() error { return s.target.Close() }

// Step carries out what the machine wants until it waits. It is what a simulation calls; run does the same with the apply
// beside the reading.
func (s *Session) Step(ctx context.Context) error { return s.StepBeside(ctx, nil) }

// StepBeside is Step with something that happens whenever a batch is in hand, before its outcome is known: as in run, the session can be given
// entries then, and the plan that follows is made of what is there.
func (s *Session) StepBeside(ctx context.Context, beside func() error) error {
	for {
		s.scoutNow(ctx)
		switch s.m.next(s.r.o.Now()) {
		case moveWait:
			s.show()
			return nil
		case moveDefine:
			if err := s.define(ctx); err != nil {
				return err
			}
		case movePrepare:
			if err := s.prepareNow(ctx); err != nil {
				return err
			}
		case moveApply:
			p := s.m.inflight
			if beside != nil {
				if err := s.meanwhile(ctx, beside); err != nil {
					return err
				}
			}
			if err := s.settled(ctx, s.apply(ctx, p)); err != nil {
				return err
			}
		}
	}
}

// meanwhile is what happens while a batch is in hand.
func (s *Session) meanwhile(ctx context.Context, beside func() error) error {
	if err := beside(); err != nil {
		return err
	}
	s.scoutNow(ctx)
	if s.m.next(s.r.o.Now()) == movePrepare {
		return s.prepareNow(ctx)
	}
	return nil
}

// show tells how far the route is when nothing is left to do, and whether it reads no further because too much waits.
func (s *Session) show() {
	var full error
	if s.m.parkedFull() {
		full = syncline.Errorf(syncline.Transient, "parked_limit", "%d tasks wait: the route reads no further", s.m.parking.tasks()).
			WithFix("`syncline tasks` shows why they wait; retry or cancel them")
	}
	waits := s.r.unanswered.Log != ""
	var was RouteState
	s.r.update(func(st *Status) {
		was = st.State
		st.Cursor = s.m.committed
		switch {
		case waits:
		case full != nil:
			st.State, st.Err = RouteDegraded, full
		default:
			st.State, st.Err = RouteRunning, nil
		}
	})
	switch {
	case waits:
	case full != nil && was != RouteDegraded:
		s.r.log.Warn("route reads no further", "code", syncline.CodeOf(full), "err", full, "fix", syncline.FixOf(full))
	case full == nil && was == RouteDegraded:
		s.r.log.Info("route reads on")
	}
}
