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
	// condemned are events that the target refused when they stood alone: they are parked when they come again.
	condemned map[place]*condemnation
	// wantRule and wantSchema are what the last verdict define was about.
	wantRule   int
	wantSchema *syncline.Schema
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
	if p.closed {
		return flush
	}
	if pl.unfit(ev.Schema) {
		if !p.empty() {
			return flush
		}
		return define
	}
	if !p.ordered && pl.barrier(p, ev, rules) {
		if !p.empty() {
			return flush
		}
		p.ordered = true
		p.closed = len(pl.rules[rules[0]].binding.Out.Key) > 0 || ev.Barrier()
	}
	shared := !pl.traits.Events && pl.share(rules)
	if shared && !p.ordered {
		if !p.empty() {
			return flush
		}
		p.ordered = true
	}
	before := mark{len(p.changes), len(p.holds), len(p.tasks)}
	condemned := pl.condemned[place{e.seq, e.first + i}]
	for _, r := range rules {
		it := pl.item(e, i, r)
		switch {
		case condemned == nil:
			pl.plan(p, it)
		case condemned.again:
			p.hold(it, pl.parkingKey(it), "rejected", condemned)
			p.holds[len(p.holds)-1].keepsOld = true
		default:
			pl.cannot(p, it, condemned)
		}
	}
	if shared {
		pl.keepClaimed(p, before)
	}
	p.events++
	return added
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

// condemnation is what is known of an event that the target refused when it stood alone.
type condemnation struct {
	err error
	// again: even the removal of its old key was refused.
	again bool
}

func (c *condemnation) Error() string { return c.err.Error() }
func (c *condemnation) Unwrap() error { return c.err }

// place is where an event stands in the log.
type place struct {
	seq   syncline.Seq
	index int
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
		p.changes = append(p.changes, syncline.Change{Op: syncline.ChangeTruncate, Object: rule.Object, Row: rule.row(nil), Batch: e.batch,
			Order: syncline.Order{Epoch: rule.epoch, Seq: e.seq}})
	}
}

// barrier reports whether the event cannot be merged with others: TRUNCATE, a change of a keyless row, and a key that moves with
// columns that the target must carry over. For an event target only order counts, which every plan keeps.
func (pl *planner) barrier(p *plan, ev *syncline.Event, rules []int) bool {
	if pl.traits.Events {
		return false
	}
	if ev.Barrier() {
		return true
	}
	if ev.Before == nil {
		return false
	}
	for _, r := range rules {
		if len(pl.rules[r].binding.Out.Key) == 0 {
			return true
		}
		if pl.traits.Rekey && ev.After != nil && pl.carries(p, ev, r) {
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

// record plans an event for a target that holds state.
func (pl *planner) record(p *plan, it item) {
	ev := it.event()
	switch action := it.rule.action(ev); {
	case ev.Op == syncline.OpTruncated:
		c := p.change(it, "")
		c.Op, c.Row = syncline.ChangeTruncate, it.rule.row(nil)
		p.truncated = append(p.truncated, int32(it.r))
		return
	case action == ActionIgnore:
		p.note(it, state.Filtered)
		return
	case action == ActionHard:
		pl.remove(p, it)
		return
	}
	if it.rule.binding.Admits != nil && !it.rule.binding.Admits(ev) {
		p.note(it, state.Filtered)
		return
	}
	if ev.Stub > 0 {
		pl.stub(p, it)
		return
	}
	if it.rule.binding.Match != nil {
		ok, err := it.rule.binding.Match(it.e.batch, it.i)
		if err != nil {
			pl.cannot(p, it, err)
			return
		}
		if !ok {
			pl.leave(p, it)
			return
		}
	}
	values := ev.After
	if it.rule.binding.Row != nil {
		var keep bool
		var err error
		if values, keep, err = it.rule.binding.Row(it.e.batch, it.i); err != nil {
			pl.cannot(p, it, err)
			return
		}
		if !keep {
			pl.leave(p, it)
			return
		}
	}
	pl.put(p, it, values)
}

// put plans the record as the rule made it.
func (pl *planner) put(p *plan, it item, values []syncline.Value) {
	ev, row := it.event(), it.rule.row(values)
	if len(row.Schema.Key) == 0 {
		c := p.change(it, "")
		c.Op, c.Row = syncline.ChangeInsert, row
		if ev.Before != nil {
			c.Op, c.Before = syncline.ChangeReplace, ev.Before
		}
		return
	}
	key, ok := row.Key()
	if !ok {
		pl.cannot(p, it, errNoKey)
		return
	}
	var oldKey []syncline.Value
	if ev.Before != nil {
		if old, oldRow, err := it.rule.key(ev.Before); err == nil && old != key {
			oldKey = pl.move(p, it, old, oldRow, &row)
		}
	}
	s := slot{int32(it.r), key}
	before, held := p.pending(it.r, key), pl.held(p, s)
	if before != nil && before.Op == syncline.ChangePut && !held { // else it is older than what waits
		row.Values = fill(row.Values, before.Row.Values)
	}
	whole := row.Whole()
	if held {
		if !whole || !pl.parking.reading(s) {
			pl.hold(p, it, key, "held", nil)
			return
		}
		p.stand(s, cleared)
	}
	// After a removal in this plan the target still has the old record: its columns are not the ones that were not sent.
	removed := before != nil && before.Op == syncline.ChangeDelete
	if !whole && oldKey == nil && (removed || !pl.traits.Partial) {
		pl.hold(p, it, key, "reading", nil)
		return
	}
	fresh := ev.Op == syncline.OpCreated || ev.Op == syncline.OpSnapshot && it.e.batch.Chunk != nil && it.e.batch.Chunk.EmptyBefore
	if before != nil {
		fresh = before.Op == syncline.ChangePut && before.Fresh
	}
	c := p.change(it, key)
	c.Op, c.Row, c.OldKey, c.Fresh = syncline.ChangePut, row, oldKey, fresh
}

// move plans the old key's part of a change of key: the old record goes, and whatever was parked of it. Columns that were not
// sent are taken from the old record's change in this plan; else a target that can carry them over is given the old key.
func (pl *planner) move(p *plan, it item, old syncline.Key, oldRow []syncline.Value, row *syncline.Row) (oldKey []syncline.Value) {
	s := slot{int32(it.r), old}
	held := pl.held(p, s)
	if c := p.pending(it.r, old); c != nil && c.Op == syncline.ChangePut && !held {
		row.Values = fill(row.Values, c.Row.Values)
	}
	if p.ordered && pl.traits.Rekey && !row.Whole() && !held {
		return keyValues(it.rule.binding.Out, oldRow)
	}
	pl.clear(p, s)
	p.dropOld(it, old, oldRow)
	return nil
}

// keyValues returns the parts of a record's key, in key order.
func keyValues(s *syncline.Schema, row []syncline.Value) []syncline.Value {
	parts := make([]syncline.Value, len(s.Key))
	for i, c := range s.Key {
		parts[i] = row[c]
	}
	return parts
}

// remove plans the removal of the event's record.
func (pl *planner) remove(p *plan, it item) {
	ev := it.event()
	source := ev.Before
	if source == nil {
		source = ev.After
	}
	if len(it.rule.binding.Out.Key) == 0 {
		if ev.Stub > 0 {
			pl.stub(p, it)
			return
		}
		c := p.change(it, "")
		c.Op, c.Row, c.Before = syncline.ChangeDelete, it.rule.row(nil), source
		return
	}
	key, row, err := it.rule.key(source)
	if err != nil {
		pl.cannot(p, it, err)
		return
	}
	pl.clear(p, slot{int32(it.r), key})
	c := p.change(it, key)
	c.Op, c.Row, c.OldKey = syncline.ChangeDelete, it.rule.row(row), nil
}

// leave plans an event that the rule does not want: the record, which may be there from before, goes.
func (pl *planner) leave(p *plan, it item) {
	ev := it.event()
	if it.rule.Left == ActionIgnore || len(it.rule.binding.Out.Key) == 0 || pl.cannotBeThere(p, it) {
		p.note(it, state.Filtered)
		return
	}
	if ev.Before != nil {
		if old, oldRow, err := it.rule.key(ev.Before); err == nil {
			if key, _, err := it.rule.key(ev.After); err == nil && key != old {
				pl.clear(p, slot{int32(it.r), old})
				p.dropOld(it, old, oldRow)
			}
		}
	}
	after := ev.After
	key, row, err := it.rule.key(after)
	if err != nil {
		pl.cannot(p, it, err)
		return
	}
	pl.clear(p, slot{int32(it.r), key})
	c := p.change(it, key)
	c.Op, c.Row, c.OldKey = syncline.ChangeDelete, it.rule.row(row), nil
	p.tasks[len(p.tasks)-1].code = state.Filtered
}

// cannotBeThere reports whether the event's record is certainly not at the target: it is new, and nothing of its key waits.
func (pl *planner) cannotBeThere(p *plan, it item) bool {
	if it.event().Op != syncline.OpCreated {
		return false
	}
	key, _, err := it.rule.key(it.event().After)
	return err == nil && p.pending(it.r, key) == nil && !pl.held(p, slot{int32(it.r), key})
}

// send plans an event for a target that wants events. Conditions judge a delete only where its before image is whole.
func (pl *planner) send(p *plan, it item) {
	ev, binding := it.event(), it.rule.binding
	if ev.Op == syncline.OpAbsent {
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
		if ev.After != nil && binding.Row != nil {
			var keep bool
			var err error
			if values, keep, err = binding.Row(it.e.batch, it.i); err != nil {
				pl.cannot(p, it, err)
				return
			} else if !keep {
				p.note(it, state.Filtered)
				return
			}
		}
		if ev.Before != nil && binding.Before != nil {
			var err error
			if before, err = binding.Before(it.e.batch, it.i); err != nil {
				pl.cannot(p, it, err)
				return
			}
		}
		if ev.After == nil {
			values = before // what was removed still says which record it was
		}
		if k, _, err := it.rule.key(ev.Row().Values); err == nil {
			key = k
		}
	}
	if key != "" && pl.held(p, slot{int32(it.r), key}) {
		pl.hold(p, it, key, "held", nil)
		return
	}
	c := p.change(it, "")
	c.Op, c.Row, c.Before = syncline.ChangeSend, it.rule.row(values), before
	if _, moved := ev.OldKey(); moved && len(it.rule.binding.Out.Key) > 0 {
		if old, oldRow, err := it.rule.key(ev.Before); err == nil && old != key {
			c.OldKey = keyValues(it.rule.binding.Out, oldRow)
		}
	}
	p.tasks[len(p.tasks)-1].key = key
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
	}
	pl.hold(p, it, key, why, err)
}

// parkingKey is the key that the event is parked under: its target key, or its place in the log if it has none.
func (pl *planner) parkingKey(it item) syncline.Key {
	key, _, err := it.rule.key(it.event().Row().Values)
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
}

// placeKey is the key that a record without one is parked under.
func placeKey(seq syncline.Seq, index int) syncline.Key {
	return placePrefix + syncline.Key(fmt.Sprintf("%d,%d", seq, index))
}
