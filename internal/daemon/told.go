package daemon

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// What is simply done has no row: its route's journal has an outcome for each task of a batch, in the order of events and rules, and the
// log has the events.

// spot is where an event stands in a log.
type spot struct {
	seq   syncline.Seq
	index int
}

// told is a task of a batch, as its journal row tells it.
type told struct {
	spot
	batch *syncline.Batch
	rule  *apply.Rule
	// number is the rule's among those of the route.
	number  int
	outcome state.Outcome
	// unsure: the rules were others when the batch was done.
	unsure bool
}

// walker reads a route's log.
type walker struct {
	syncline.LogReader
}

func (r *route) logFrom(ctx context.Context, from syncline.Seq) (walker, error) {
	reader, err := r.source.log.Read(ctx, from)
	return walker{reader}, err
}

func (w walker) next(ctx context.Context) (syncline.Entry, *syncline.Batch, error) {
	e, err := w.Next(ctx)
	if err != nil {
		return e, nil, err
	}
	b, err := syncline.DecodeBatch(e.Data)
	return e, b, err
}

// concerned reports whether the route applies the batch: a run can be for some routes only.
func (r *route) concerned(b *syncline.Batch) bool {
	return b.Chunk == nil || len(b.Chunk.Routes) == 0 || slices.Contains(b.Chunk.Routes, r.id)
}

// each calls visit for every task of the batch at the entry from its event `from` up to `to`, in the order of the journal.
func (r *route) each(seq syncline.Seq, b *syncline.Batch, from, to int, visit func(told)) {
	if !r.concerned(b) {
		return
	}
	for i := from; i < min(to, len(b.Events)); i++ {
		for k := range r.compiled {
			if r.compiled[k].Entity == b.Events[i].Schema.Entity {
				visit(told{spot: spot{seq, i}, batch: b, rule: &r.compiled[k], number: k})
			}
		}
	}
}

// tasksIn returns the tasks of a journal row with their outcomes.
func (r *route) tasksIn(ctx context.Context, j *state.Journal) ([]told, error) {
	w, err := r.logFrom(ctx, j.From.Seq)
	if err != nil {
		return nil, err
	}
	defer w.Close() //nolint:errcheck // it holds nothing that could be lost
	var tasks []told
	for seq := j.From.Seq; seq < j.To.Seq || seq == j.To.Seq && j.To.Index > 0; seq++ {
		e, b, err := w.next(ctx)
		if err != nil {
			return nil, err
		}
		if e.Seq != seq { // purged meanwhile
			return nil, nil
		}
		from, to := 0, len(b.Events)
		if seq == j.From.Seq {
			from = j.From.Index
		}
		if seq == j.To.Seq {
			to = j.To.Index
		}
		r.each(seq, b, from, to, func(t told) { tasks = append(tasks, t) })
	}
	runs, err := state.DecodeOutcomes(j.Outcomes)
	if err != nil {
		return nil, err
	}
	i := 0
	for _, run := range runs {
		for n := int64(0); n < run.Count && i < len(tasks); n++ {
			tasks[i].outcome = run.Outcome
			i++
		}
	}
	if int64(len(tasks)) != j.Counts.Read {
		for i := range tasks {
			tasks[i].unsure = len(runs) != 1
		}
	}
	return tasks, nil
}

// taskOf is the task of the event at the place, of which only the status is missing.
func (r *route) taskOf(at spot, b *syncline.Batch, rule *apply.Rule) ops.Task {
	t := ops.Task{ID: apply.TaskID(rule.ID, b.Source, at.seq, at.index), Route: r.id, Rule: rule.ID, Source: b.Source, Target: r.target.Name,
		Entity: rule.Entity, Object: rule.Object, Seq: uint64(at.seq), Index: at.index}
	ev := &b.Events[at.index]
	if binding, err := rule.Fit(ev.Schema); err == nil && ev.Op != syncline.OpTruncated {
		if key, ok := binding.TargetKey(ev.Row().Values); ok {
			t.Key = string(key)
		}
	}
	return t
}

// complete tells what the journal row says of the task.
func complete(t *ops.Task, j *state.Journal, one *told) {
	t.Status, t.Reason = one.outcome.Public()
	if one.outcome == state.Parked { // its row is gone: another route has taken its rule over
		t.Status, t.Reason = state.TaskCompleted, state.Superseded.String()
	}
	if one.unsure {
		t.Status, t.Reason = state.TaskCompleted, ""
	}
	start := j.Start
	t.Attempts, t.Started, t.Created, t.Updated = 1, &start, j.End, j.End
}

// derivedCursor is where a list of derived tasks goes on: on the route, with the event and the rule's number.
type derivedCursor struct {
	route string // "" = the first one
	spot
	rule int
}

const derivedPrefix = "~"

func (c derivedCursor) String() string {
	return fmt.Sprintf("%s%d.%d.%d%s%s", derivedPrefix, c.seq, c.index, c.rule, derivedPrefix, c.route)
}

func parseDerivedCursor(s string) (c derivedCursor, ok bool, err error) {
	rest, ok := strings.CutPrefix(s, derivedPrefix)
	if !ok {
		return c, false, nil
	}
	at, route, _ := strings.Cut(rest, derivedPrefix)
	parts := strings.Split(at, ".")
	var n [3]uint64
	bad := len(parts) != len(n)
	for i := range n {
		if !bad {
			var err error
			n[i], err = strconv.ParseUint(parts[i], 10, 63)
			bad = err != nil
		}
	}
	if bad {
		return c, false, syncline.Errorf(syncline.Rejected, "cursor_invalid", "the page's cursor is not one that this list gave").
			WithFix("start again without a cursor")
	}
	return derivedCursor{route: route, spot: spot{syncline.Seq(n[0]), int(n[1])}, rule: int(n[2])}, true, nil
}

const (
	// lookAtMost bounds the events that one page of derived tasks is looked for in: a page can be short, and the next one goes on.
	lookAtMost = 50_000
	rowsAtOnce = 256
)

// deriving is a page of derived tasks in the making.
type deriving struct {
	e      engine
	q      *ops.TaskQuery
	limit  int
	list   []ops.Task
	looked int
	next   derivedCursor
}

// full reports whether the page ends here.
func (d *deriving) full() bool { return len(d.list) >= d.limit || d.looked >= lookAtMost }

// listDerived returns a page of tasks without rows: route by route, what the journal has, then what is not read yet.
func (e engine) listDerived(ctx context.Context, q *ops.TaskQuery, at derivedCursor) ([]ops.Task, string, error) {
	d := &deriving{e: e, q: q, limit: q.Limit}
	if d.limit <= 0 {
		d.limit = 100
	}
	begun := at.route == ""
	for _, r := range e.set().routes {
		from := derivedCursor{route: r.id}
		if r.id == at.route {
			begun, from = true, at
		}
		if !begun || !d.wants(r) {
			continue
		}
		more, err := d.route(ctx, r, from)
		if err != nil {
			return nil, "", err
		}
		if more {
			d.next.route = r.id
			return d.list, d.next.String(), nil
		}
	}
	return d.list, "", nil
}

func (d *deriving) wants(r *route) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return is(d.q.Route, r.id) && is(d.q.Source, r.source.system.Name) && is(d.q.Target, r.target.Name) &&
		slices.ContainsFunc(r.compiled, func(one apply.Rule) bool { return d.wantsRule(&one) })
}

func (d *deriving) wantsRule(r *apply.Rule) bool {
	return ops.OfRule(d.q.Rule, r.ID) && (d.q.Entity == "" || d.q.Entity == r.Entity)
}

// route adds the route's tasks to the page. It reports true where the page is full before they end.
func (d *deriving) route(ctx context.Context, r *route, from derivedCursor) (more bool, err error) {
	if d.q.Status == state.TaskCompleted {
		return d.journal(ctx, r, from)
	}
	return d.unread(ctx, r, from)
}

// journal adds what the route has done.
func (d *deriving) journal(ctx context.Context, r *route, from derivedCursor) (bool, error) {
	bounds, err := r.source.log.Bounds(ctx)
	if err != nil {
		return false, err
	}
	hand := r.apply.Status().InHand
	if from.seq < bounds.First {
		from.spot, from.rule = spot{bounds.First, 0}, 0
	}
	for at := from.spot; ; {
		rows, err := d.e.state.JournalFrom(ctx, state.Slice{Route: r.id}, at.seq, at.index, d.q.From, rowsAtOnce)
		if err != nil || len(rows) == 0 {
			return false, err
		}
		for _, j := range rows {
			if !d.q.To.IsZero() && !j.End.Before(d.q.To) || inHand(hand, j.From) {
				return false, nil
			}
			tasks, err := r.tasksIn(ctx, j)
			if err != nil {
				return false, err
			}
			for i := range tasks {
				one := &tasks[i]
				if one.seq < from.seq || one.seq == from.seq && (one.index < from.index || one.index == from.index && one.number < from.rule) {
					continue
				}
				if d.full() {
					d.next = derivedCursor{spot: one.spot, rule: one.number}
					return true, nil
				}
				d.looked++
				if one.outcome == state.Parked && !one.unsure { // listed from its row
					continue
				}
				d.add(r, one, func(t *ops.Task) { complete(t, j, one) })
			}
			at = spot{j.To.Seq, j.To.Index}
		}
	}
}

// unread adds what the route has not done yet: what its target has now, and what the log holds beyond that.
func (d *deriving) unread(ctx context.Context, r *route, from derivedCursor) (bool, error) {
	st := r.apply.Status()
	begin := st.Cursor
	if begin.Seq == 0 {
		known, err := d.e.state.Route(ctx, state.Slice{Route: r.id})
		if err != nil {
			return false, err
		}
		begin = known.Cursor
	}
	if from.seq < begin.Seq || from.seq == begin.Seq && from.index < begin.Index {
		from.spot, from.rule = spot{begin.Seq, begin.Index}, 0
	}
	bounds, err := r.source.log.Bounds(ctx)
	if err != nil || from.seq > bounds.Last || from.seq == 0 {
		return false, err
	}
	early, err := d.e.early(ctx, state.Slice{Route: r.id})
	if err != nil {
		return false, err
	}
	w, err := r.logFrom(ctx, from.seq)
	if err != nil {
		return false, err
	}
	defer w.Close() //nolint:errcheck // it holds nothing that could be lost
	for {
		e, b, err := w.next(ctx)
		if err != nil {
			return false, err
		}
		first := 0
		if e.Seq == from.seq {
			first = from.index
		}
		more := false
		r.each(e.Seq, b, first, len(b.Events), func(one told) {
			if more || one.spot == from.spot && one.number < from.rule {
				return
			}
			if d.full() {
				more, d.next = true, derivedCursor{spot: one.spot, rule: one.number}
				return
			}
			d.looked++
			if _, done := early[earlyTask{one.spot, one.rule.ID}]; done {
				return
			}
			executing := inHand(st.InHand, syncline.Cursor{Seq: one.seq, Index: one.index})
			if executing != (d.q.Status == state.TaskExecuting) || !d.within(e.Time) {
				return
			}
			d.add(r, &one, func(t *ops.Task) {
				t.Status, t.Created, t.Updated = d.q.Status, e.Time, e.Time
				if executing {
					t.Started, t.Attempts = &st.InHand.Start, 1
				}
			})
		})
		if more || e.Seq >= bounds.Last {
			return more, nil
		}
	}
}

func (d *deriving) within(t time.Time) bool {
	return !t.Before(d.q.From) && (d.q.To.IsZero() || t.Before(d.q.To))
}

// add puts the task on the page if the query wants it.
func (d *deriving) add(r *route, one *told, tell func(*ops.Task)) {
	if !d.wantsRule(one.rule) {
		return
	}
	var t ops.Task
	tell(&t)
	if t.Status != d.q.Status || d.q.Why != "" && d.q.Why != t.Reason {
		return
	}
	known := r.taskOf(one.spot, one.batch, one.rule)
	if d.q.Key != "" && d.q.Key != known.Key {
		return
	}
	tell(&known)
	d.list = append(d.list, known)
}
