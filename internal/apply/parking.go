package apply

import (
	"container/heap"
	"time"

	"syncline"
	"syncline/internal/state"
)

// Retry is how rejected records are tried again. Attempts count rejections only.
type Retry struct {
	Max      int           // attempts before a task is failed; 0 = 5
	Delay    time.Duration // before the second attempt, doubled each time; 0 = 1 s
	MaxDelay time.Duration // 0 = 5 min
}

func (r Retry) withDefaults() Retry {
	if r.Max <= 0 {
		r.Max = 5
	}
	if r.Delay <= 0 {
		r.Delay = time.Second
	}
	if r.MaxDelay <= 0 {
		r.MaxDelay = 5 * time.Minute
	}
	return r
}

// after returns the pause that follows this many attempts.
func (r Retry) after(attempts int) time.Duration {
	d := r.Delay
	for i := 1; i < attempts && d < r.MaxDelay; i++ {
		d *= 2
	}
	return min(d, r.MaxDelay)
}

// parked is a slot that waits, with its tasks in the order of their events. A state target has one: the newest, with what the
// older ones had sent filled in. An event target has them all.
type parked struct {
	slot  slot
	tasks []state.Exception
	// forced: an operator asked for the next attempt.
	forced bool
	// refused is why the target did not take the head when it was tried last, as long as that attempt is not counted.
	refused error
	// at is when the slot is due, and n its number in the queue of those that are; -1 = nothing that only time brings moves it.
	at time.Time
	n  int
}

func (k *parked) head() *state.Exception { return &k.tasks[0] }

// parking is what waits on a route. It is changed only by commits that are in the state store.
type parking struct {
	slots map[slot]*parked
	rules map[string]int // index by rule id
	moves moves
	// queue has the slots that are due some time. stale asks to make it anew, because tasks that move their records can block
	// each other across slots; without such tasks a change concerns its own slot only.
	queue queue
	stale bool
	// asked are the tasks that wait for the source's answer, waiting all others.
	asked, waiting load
}

// load is a number of tasks and the size of their records.
type load struct{ tasks, bytes int }

func (l load) reaches(limits Limits) bool {
	return l.tasks >= limits.Parked || l.bytes >= limits.ParkedBytes
}

// tasks is how many wait.
func (pk *parking) tasks() int { return pk.asked.tasks + pk.waiting.tasks }

func newParking(rules map[string]int, moves moves, pending []state.Exception) *parking {
	pk := &parking{slots: make(map[slot]*parked), rules: rules, moves: moves}
	for _, x := range pending {
		pk.add(x)
	}
	return pk
}

func (pk *parking) slotOf(x *state.Exception) (slot, bool) {
	r, ok := pk.rules[x.Rule]
	return slot{int32(r), x.Key}, ok
}

func (pk *parking) has(s slot) bool {
	if len(pk.slots) == 0 {
		return false
	}
	_, ok := pk.slots[s]
	return ok
}

// reading reports whether the slot only waits for the source to send the record.
func (pk *parking) reading(s slot) bool {
	k := pk.slots[s]
	return k != nil && k.head().Status == state.StatusReading
}

func (pk *parking) add(x state.Exception) {
	s, ok := pk.slotOf(&x)
	if !ok {
		return
	}
	k := pk.slots[s]
	if k == nil {
		k = &parked{slot: s, n: -1}
		pk.slots[s] = k
	}
	k.tasks = append(k.tasks, x)
	pk.count(&x, 1)
	pk.moves.add(s, &x)
	if len(k.tasks) == 1 || !pk.moves.none() {
		pk.schedule(k)
	}
}

// due returns when the slot's head is tried again; ok is false where something else must move it: a person, the source's answer, a
// record that moves.
func (pk *parking) due(k *parked) (at time.Time, ok bool) {
	switch head := k.head(); {
	case pk.blocked(k.slot, head):
		return time.Time{}, false
	case k.forced, head.Status == state.StatusHeld:
		return time.Time{}, true
	default:
		return head.NextTry, head.Status == state.StatusRetrying
	}
}

// count adds the task n times.
func (pk *parking) count(x *state.Exception, n int) {
	l := &pk.waiting
	if x.Status == state.StatusReading {
		l = &pk.asked
	}
	l.tasks += n
	l.bytes += n * len(x.Record)
}

// fold takes over a commit that is in the state store.
func (pk *parking) fold(c *state.Commit) {
	for i := range c.Update {
		x := &c.Update[i]
		s, ok := pk.slotOf(x)
		k := pk.slots[s]
		if !ok || k == nil {
			continue
		}
		for j := range k.tasks {
			if k.tasks[j].Task != x.Task {
				continue
			}
			pk.stale = pk.stale || !pk.moves.none()
			switch pk.count(&k.tasks[j], -1); {
			case x.Pending():
				k.tasks[j] = *x
				pk.count(x, 1)
			case j == 0: // the usual one: what is behind it, which can be many, stays where it is
				pk.moves.remove(&k.tasks[0])
				k.tasks[0] = state.Exception{}
				k.tasks = k.tasks[1:]
			default:
				pk.moves.remove(&k.tasks[j])
				k.tasks = append(k.tasks[:j], k.tasks[j+1:]...)
			}
			break
		}
		k.forced, k.refused = false, nil
		if len(k.tasks) == 0 {
			pk.queue.remove(k)
			delete(pk.slots, s)
			continue
		}
		pk.schedule(k)
	}
	for _, x := range c.Park {
		pk.add(x)
	}
}

// ready returns up to n slots whose head is due, the longest overdue first.
func (pk *parking) ready(now time.Time, n int) []*parked {
	pk.refresh()
	var list []*parked
	for len(list) < n && len(pk.queue) > 0 && !pk.queue[0].at.After(now) {
		list = append(list, pk.queue[0])
		pk.queue.remove(pk.queue[0])
	}
	for _, k := range list {
		pk.queue.put(k, k.at)
	}
	return list
}

// schedule puts the slot where it belongs in the queue.
func (pk *parking) schedule(k *parked) {
	if pk.stale = pk.stale || !pk.moves.none(); pk.stale {
		return
	}
	if at, ok := pk.due(k); ok {
		pk.queue.put(k, at)
	} else {
		pk.queue.remove(k)
	}
}

// refresh makes the queue anew where that was asked for.
func (pk *parking) refresh() {
	if !pk.stale {
		return
	}
	pk.stale = false
	pk.queue = pk.queue[:0]
	for _, k := range pk.slots {
		k.n = -1
		if at, ok := pk.due(k); ok {
			k.at, k.n = at, len(pk.queue)
			pk.queue = append(pk.queue, k)
		}
	}
	heap.Init(&pk.queue)
}

// blocked reports whether a task, which is the oldest of its slot, waits for one of another slot.
func (pk *parking) blocked(s slot, x *state.Exception) bool {
	return pk.moves.block(s, x, func(s slot) *state.Exception {
		if k := pk.slots[s]; k != nil {
			return k.head()
		}
		return nil
	})
}

// wake returns when the next slot is due; ok is false where none will be.
func (pk *parking) wake() (at time.Time, ok bool) {
	if pk.refresh(); len(pk.queue) == 0 {
		return time.Time{}, false
	}
	return pk.queue[0].at, true
}

// force has the slot's head tried at once.
func (pk *parking) force(k *parked) {
	k.forced, k.refused = true, nil
	pk.schedule(k)
}

// find returns the slot that holds the task, or nil; known is false where the route has no such rule.
func (pk *parking) find(x *state.Exception) (k *parked, known bool) {
	s, known := pk.slotOf(x)
	if !known {
		return nil, false
	}
	return pk.slots[s], true
}

// asks lists, per entity, the source keys that have to be read because of these tasks.
func asks(tasks []state.Exception) map[string][]syncline.Key {
	var keys map[string][]syncline.Key
	for i := range tasks {
		x := &tasks[i]
		if x.Status != state.StatusReading {
			continue
		}
		b, err := syncline.DecodeBatch(x.Record)
		if err != nil || len(b.Events) != 1 {
			continue
		}
		if k, ok := b.Events[0].Key(); ok {
			if keys == nil {
				keys = make(map[string][]syncline.Key)
			}
			keys[x.Entity] = append(keys[x.Entity], k)
		}
	}
	return keys
}
