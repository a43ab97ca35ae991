package apply

import (
	"errors"
	"fmt"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/state"
)

var errNoKey = errors.New("the record has no key at the target")

// verdict says what came of offering an event to a plan.
type verdict uint8

const (
	// added: the event is in the plan.
	added verdict = iota
	// flush: the plan must be applied before the event can be looked at again.
	flush
	// define: the plan is empty, and the target must be told of the event's schema first.
	define
)

// item is one event under one rule of the route.
type item struct {
	e     *entry
	i     int // index in e.batch.Events
	r     int // index in planner.rules
	rule  *bound
	order syncline.Order
}

func (it item) event() *syncline.Event { return &it.e.batch.Events[it.i] }

// planner turns events into plans. It is pure: what it knows of the target are its traits.
type planner struct {
	rules    []*bound
	byEntity map[string][]int
	traits   syncline.Traits
	parking  *parking
	// inflight is the plan that is being applied while the next one is made; what it does to the parking counts already.
	inflight *plan
	// condemned are events that the target refused in their turn: they are parked when they come again.
	condemned map[place]*condemnation
	// wantRule and wantSchema are what the last verdict define was about.
	wantRule   int
	wantSchema *syncline.Schema
	// early are the outcomes of tasks that were carried out ahead of their turn, by event and rule.
	early map[place]map[int32]state.Outcome
}

func (pl *planner) item(e *entry, i, r int) item {
	rule := pl.rules[r]
	return item{e: e, i: i, r: r, rule: rule, order: syncline.Order{Epoch: rule.epoch, Seq: e.seq, Index: e.first + i}}
}

// offer puts the i-th event of e into p, or says why not. An event that concerns several rules of the route is taken for all
// of them or for none.
func (pl *planner) offer(p *plan, e *entry, i int) verdict {
	ev := &e.batch.Events[i]
	rules := pl.byEntity[ev.Schema.Entity]
	if len(rules) == 0 {
		p.events++
		return added
	}
	goesOn := truncatesOn(p, e, i)
	if p.closed && !goesOn {
		return flush
	}
	if pl.unfit(ev.Schema) {
		if !p.empty() {
			return flush
		}
		return define
	}
	switch {
	case pl.traits.Events: // only order counts, which every plan keeps
	case ev.Barrier():
		if !p.empty() && !goesOn {
			return flush
		}
		p.ordered, p.closed = true, true
	case !p.ordered && pl.barrier(p, ev, rules):
		if !p.empty() {
			return flush
		}
		p.ordered = true
		p.closed = len(pl.rules[rules[0]].binding.Out.Key) > 0
	}
	shared := !pl.traits.Events && pl.share(rules)
	if shared && !p.ordered {
		if !p.empty() {
			return flush
		}
		p.ordered = true
	}
	condemned := pl.condemned[place{e.seq, e.first + i}]
	if condemned != nil && condemned.again && !p.empty() {
		return flush // see holdBoth
	}
	before := mark{len(p.changes), len(p.holds), len(p.tasks)}
	var done map[int32]state.Outcome
	if len(pl.early) > 0 {
		done = pl.early[place{e.seq, e.first + i}]
	}
	for _, r := range rules {
		it := pl.item(e, i, r)
		if outcome, early := done[int32(r)]; early {
			p.note(it, outcome)
			p.tasks[len(p.tasks)-1].early = true
			continue
		}
		switch {
		case condemned == nil:
			pl.plan(p, it)
		case condemned.again:
			pl.holdBoth(p, it, condemned)
		default:
			pl.cannot(p, it, condemned)
		}
	}
	if shared {
		pl.keepClaimed(p, before)
	}
	if condemned != nil {
		p.condemned++
	}
	if len(p.changes) > before.changes {
		p.tries++
	}
	p.events++
	return added
}

// truncatesOn reports whether the event empties one more entity of the TRUNCATE that the plan carries out. A target whose tables refer to
// each other can only empty them together.
func truncatesOn(p *plan, e *entry, i int) bool {
	if len(p.truncated) == 0 || p.resets != nil || i == 0 {
		return false
	}
	ev, before := &e.batch.Events[i], &e.batch.Events[i-1]
	return ev.Barrier() && before.Barrier() && ev.Txn == before.Txn
}

// unfit reports whether a rule must be bound to the schema before its rows can be planned, and notes which.
func (pl *planner) unfit(s *syncline.Schema) bool {
	for _, r := range pl.byEntity[s.Entity] {
		if !pl.rules[r].fits(s) {
			pl.wantRule, pl.wantSchema = r, s
			return true
		}
	}
	return false
}

func (pl *planner) plan(p *plan, it item) {
	if ev := it.event(); ev.Meta != nil && ev.Meta.Superseded {
		p.note(it, state.Superseded)
		return
	}
	if pl.traits.Events {
		pl.send(p, it)
	} else {
		pl.record(p, it)
	}
}

// reset plans that everything which the route holds of a chunk's entity goes, before the chunk is applied.
func (pl *planner) reset(p *plan, e *entry) {
	p.passed, p.closed = true, true
	if pl.traits.Events {
		return
	}
	p.ordered = true
	for _, r := range pl.byEntity[e.batch.Chunk.Entity] {
		p.truncated = append(p.truncated, int32(r))
		rule := pl.rules[r]
		if rule.binding == nil {
			continue // the chunk is empty too: the changes before it left nothing
		}
		p.newest = append(p.newest, -1)
		p.changes = append(p.changes, syncline.Change{Op: syncline.ChangeTruncate, Object: rule.Object, Row: syncline.Row{Schema: rule.binding.Written()}, Batch: e.batch,
			Order: syncline.Order{Epoch: rule.epoch, Seq: e.seq}})
	}
}

// barrier reports whether the event cannot be merged with others: a change of a keyless row, and a key that moves with columns that
// the target must carry over.
func (pl *planner) barrier(p *plan, ev *syncline.Event, rules []int) bool {
	if ev.Before == nil {
		return false
	}
	for _, r := range rules {
		if len(pl.rules[r].binding.Out.Key) == 0 {
			return true
		}
		if pl.traits.Rekey && pl.rules[r].rekeys() && ev.After != nil && pl.carries(p, ev, r) {
			return true
		}
	}
	return false
}

// carries reports whether the event moves the record to another key and some column must be carried over from the old
// record, because neither this event nor one before it in the plan sent it.
func (pl *planner) carries(p *plan, ev *syncline.Event, r int) bool {
	if _, moved := ev.OldKey(); !moved || ev.Row().Whole() {
		return false
	}
	old, _, err := pl.rules[r].key(ev.Before)
	if err != nil {
		return false
	}
	c := p.pending(r, old)
	return c == nil || c.Op != syncline.ChangePut || !c.Row.Whole()
}

// held reports whether events of the slot must wait, as things stand after everything planned so far.
func (pl *planner) held(p *plan, s slot) bool {
	if len(p.retry) == 0 && pl.parking.moves.has(s) {
		return true
	}
	for _, q := range [2]*plan{p, pl.inflight} {
		if q == nil {
			continue
		}
		switch q.parking[s] {
		case holding:
			return true
		case cleared:
			return false
		}
		for _, r := range q.truncated {
			if r == s.rule {
				return false
			}
		}
	}
	return pl.parking.has(s)
}

// clear notes that what is parked of the slot is obsolete once the plan is applied.
func (pl *planner) clear(p *plan, s slot) {
	if pl.held(p, s) {
		p.stand(s, cleared)
	}
}

// send plans an event for a target that wants events. Conditions judge a delete only where its before image is whole.
func (pl *planner) send(p *plan, it item) {
	ev, binding := it.event(), it.rule.binding
	if ev.Op == syncline.OpAbsent || it.rule.Action(ev) == ActionIgnore {
		p.note(it, state.Filtered)
		return
	}
	if ev.Stub > 0 {
		if binding.Admits != nil && !binding.Admits(ev) {
			p.note(it, state.Filtered)
			return
		}
		pl.stub(p, it)
		return
	}
	values, before, key := ev.After, ev.Before, syncline.Key("")
	if ev.Op != syncline.OpTruncated {
		if binding.Match != nil && (ev.After != nil || ev.Row().Whole()) {
			if ok, err := binding.Match(it.e.batch, it.i); err != nil {
				pl.cannot(p, it, err)
				return
			} else if !ok {
				p.note(it, state.Filtered)
				return
			}
		}
		if binding.Unchanged != nil && pl.unchanged(p, it) {
			return
		}
		if ev.After != nil && binding.Row != nil {
			var keep bool
			var err error
			if values, keep, err = it.row(); err != nil {
				pl.cannot(p, it, err)
				return
			} else if !keep {
				p.note(it, state.Filtered)
				return
			}
		}
		if ev.Before != nil && binding.Before != nil {
			before = binding.Before(it.e.batch, it.i)
		}
		if ev.After == nil {
			values = before // what was removed still says which record it was
		}
		if k, _, err := it.rule.key(ev.Row().Values); err == nil {
			key = k
		}
	}
	var oldKey []syncline.Value
	home := key
	if _, moved := ev.OldKey(); moved && len(it.rule.binding.Out.Key) > 0 {
		if old, oldRow, err := it.rule.key(ev.Before); err == nil && old != key {
			home, oldKey = old, keyValues(it.rule.binding.Out, oldRow)
		}
	}
	retry := len(p.retry) > 0 // nothing stands before what is tried again
	if key != "" && !retry && (pl.held(p, slot{int32(it.r), home}) || pl.held(p, slot{int32(it.r), key})) {
		pl.hold(p, it, home, "held", nil)
		return
	}
	rows, ok := pl.sent(p, it, values)
	if !ok {
		return
	}
	c := p.change(it, "")
	c.Op, c.Row, c.OldKey, c.Before = syncline.ChangeSend, it.rule.row(values), oldKey, before
	if split := binding.Split; split != nil {
		p.divide(p.tasks[len(p.tasks)-1].change, split, rows)
	}
	p.tasks[len(p.tasks)-1].key = home
}

// cannot plans an event that the rule itself or the target cannot process: its key is parked, and where a column is missing that
// the source can still tell, it is read from there.
func (pl *planner) cannot(p *plan, it item, err error) {
	key := pl.parkingKey(it)
	why := "rejected"
	switch {
	case pl.held(p, slot{int32(it.r), key}):
		why = "held"
	case errors.Is(err, expression.ErrUnset) && !pl.traits.Events:
		why = "reading"
	case waits(err):
		why = "waiting"
	}
	pl.hold(p, it, key, why, err)
}

// parkingKey is the key that the event is parked under: its target key, or its place in the log if it has none. An event target gets
// a change of key behind what waits under the old one.
func (pl *planner) parkingKey(it item) syncline.Key {
	ev := it.event()
	if pl.traits.Events && ev.Before != nil {
		if key, _, err := it.rule.key(ev.Before); err == nil {
			return key
		}
	}
	key, _, err := it.rule.key(ev.Row().Values)
	if err != nil {
		return placeKey(it.order.Seq, it.order.Index)
	}
	return key
}

// hold plans that the event waits. Where it moves its record to another key, the old record goes now: later, somebody else may
// have that key.
func (pl *planner) hold(p *plan, it item, key syncline.Key, why string, err error) {
	if ev := it.event(); !pl.traits.Events && ev.Before != nil && ev.After != nil && len(it.rule.binding.Out.Key) > 0 {
		if old, oldRow, e := it.rule.key(ev.Before); e == nil && old != key && len(p.retry) == 0 {
			pl.clear(p, slot{int32(it.r), old})
			p.dropOld(it, old, oldRow)
		}
	}
	p.hold(it, key, why, err)
	if other, ok := pl.other(it, key); ok {
		p.stand(slot{int32(it.r), other}, holding)
	}
}

// other is the key that an event which is parked under a key of an event target moves its record to.
func (pl *planner) other(it item, key syncline.Key) (syncline.Key, bool) {
	ev := it.event()
	if !pl.traits.Events || ev.Before == nil || ev.After == nil {
		return "", false
	}
	k, _, err := it.rule.key(ev.After)
	return k, err == nil && k != key
}

// holdBoth plans that the event waits together with the removal of its record under the old key, which the target refused. It stands
// alone, so that what follows sees both keys wait. What waited under the old key is obsolete.
func (pl *planner) holdBoth(p *plan, it item, err error) {
	if ev := it.event(); ev.Before != nil {
		if old, _, e := it.rule.key(ev.Before); e == nil {
			pl.clear(p, slot{int32(it.r), old})
		}
	}
	p.hold(it, pl.parkingKey(it), "rejected", err)
	p.holds[len(p.holds)-1].keepsOld = true
	p.closed = true
}

// placeKey is the key that a record without one is parked under.
func placeKey(seq syncline.Seq, index int) syncline.Key {
	return placePrefix + syncline.Key(fmt.Sprintf("%d,%d", seq, index))
}
