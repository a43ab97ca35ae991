package pgtarget

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"syncline"
	"syncline/internal/plant"
)

// Apply carries out the write in one transaction. See the package comment.
func (t *Target) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if err := ctx.Err(); err != nil {
		return syncline.Result{}, err
	}
	if t.s != nil && t.s.conn.IsClosed() {
		t.lost()
	}
	if t.s == nil || t.unsettled {
		return syncline.Result{}, syncline.Errorf(syncline.Transient, "connection_lost", "no connection: the cursor at the target must be read first")
	}
	moves := 0
	for {
		x := &transaction{t: t, s: t.s, w: w, res: syncline.Result{Outcomes: make([]syncline.Outcome, len(w.Changes))}}
		err := x.apply(ctx)
		if err == nil {
			return x.res, nil
		}
		x.s.rollback(ctx)
		x.unmake()
		if errors.Is(err, errMoved) {
			if moves++; moves < maxMoves {
				continue
			}
			err = syncline.Errorf(syncline.Transient, "target_moves", "others write the same records of the target at the same time, again and again")
		}
		if x.again(err) {
			continue
		}
		err = x.explain(ctx, err)
		if object, refused := x.refusal(err); !refused || !t.altered(ctx, object) {
			return syncline.Result{}, err
		}
	}
}

// refusal tells which object's record was refused.
func (x *transaction) refusal(err error) (object string, refused bool) {
	var known *syncline.Error
	if !errors.As(err, &known) || known.Class != syncline.Rejected || known.Change < 0 {
		return "", false
	}
	return x.w.Changes[known.Change].Object, true
}

// transaction is one Apply.
type transaction struct {
	t   *Target
	s   *session
	w   *syncline.Write
	res syncline.Result
	// queue are the requests of the next round trip.
	queue []request
	// deferrable: some object has constraints that are checked late.
	deferrable bool
	// recheck are the groups of which some changes had no effect, see settle.
	recheck []*group
	// refused is the binding of new records which the server did not let in.
	refused *binding
	// textual is the statement whose rows are to be copied as text instead.
	textual *shape
	// arena holds the parameters of the queued requests.
	arena []byte
	// clears come before the groups of an unordered write, as deletes do.
	clears []clearing
	// decided is what the write's decisions are about, by change.
	decided []deciding
	// made are temporary tables that go if the transaction does.
	made []string
	// xid is the transaction's own id, where rows are tagged with it.
	xid uint32
	// block holds what is kept of rows beside their values, values has room for those of the next rows.
	block  []byte
	values []syncline.Value
}

// commitError is an error of Write.Commit, which goes back as it is.
type commitError struct{ err error }

func (e *commitError) Error() string { return e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

func (x *transaction) apply(ctx context.Context) error {
	if err := x.t.tidy(ctx, x.s); err != nil {
		return err
	}
	if x.w.Decide != nil {
		return x.applyDecided(ctx)
	}
	var groups []*group
	var err error
	if x.w.Ordered {
		err = x.bindAll(ctx)
	} else {
		groups, err = x.group(ctx)
	}
	if err != nil {
		return err
	}
	if err := x.makeTemps(ctx, groups); err != nil {
		return err
	}
	x.begin()
	if x.w.Ordered {
		err = x.queueOrdered(ctx)
	} else {
		err = x.queueGroups(ctx, groups)
	}
	if err != nil {
		return err
	}
	return x.finish(ctx)
}

// applyDecided is apply where each change is judged against what the target holds.
func (x *transaction) applyDecided(ctx context.Context) error {
	err := x.prepare(ctx)
	if err != nil {
		return err
	}
	x.begin()
	x.queueXID()
	if x.w.Ordered {
		err = x.decideEach(ctx)
	} else {
		err = x.decideAll(ctx)
	}
	if err != nil {
		return err
	}
	return x.finish(ctx)
}

// finish moves the cursor, and commits if the caller does.
func (x *transaction) finish(ctx context.Context) error {
	if x.deferrable {
		x.queue = append(x.queue, request{sql: "SET CONSTRAINTS ALL IMMEDIATE", change: -1})
	}
	if !plant.CursorBeforeRows {
		x.queueCursor()
	}
	if err := x.flush(ctx); err != nil {
		return err
	}
	if err := x.settle(ctx); err != nil {
		return err
	}
	if err := x.w.Commit(ctx, x.res); err != nil {
		return &commitError{err}
	}
	return x.s.commit(ctx)
}

func (x *transaction) begin() {
	if plant.CursorBeforeRows {
		x.queue = append(x.queue, request{sql: "BEGIN", change: -1})
		x.queueCursor()
		x.queue = append(x.queue, request{sql: "COMMIT", change: -1})
	}
	x.queue = append(x.queue, request{sql: "BEGIN", change: -1})
	if x.deferrable {
		x.queue = append(x.queue, request{sql: "SET CONSTRAINTS ALL DEFERRED", change: -1})
	}
}

// flush makes the round trip.
func (x *transaction) flush(ctx context.Context) error {
	if len(x.queue) == 0 {
		return nil
	}
	err := x.s.run(ctx, x.queue)
	x.queue, x.arena = x.queue[:0], x.arena[:0]
	return err
}

// maxArena is how many bytes of parameters one round trip holds; a write beyond it takes several.
const maxArena = 4 << 20

// queueCursor moves the cursor if the epoch is still the caller's.
func (x *transaction) queueCursor() {
	c := x.w.Cursor
	x.queue = append(x.queue, request{shape: x.s.moveCursor(), change: -1, cursor: true,
		args: [][]byte{[]byte(x.t.o.Route), int4(x.t.o.Slice), []byte(c.Log), int8(uint64(c.Seq)), int4(c.Index), int8(c.Epoch)},
		done: func(n int64) error {
			if n == 0 {
				return errNotOwner
			}
			return nil
		}})
}

// explain turns what went wrong into an error for the caller.
func (x *transaction) explain(ctx context.Context, err error) error {
	var own *commitError
	if errors.As(err, &own) {
		if x.s.conn.IsClosed() {
			x.t.lost()
		}
		return own.err
	}
	var req *requestError
	if errors.Is(err, errNotOwner) || errors.As(err, &req) && req.cursor && isCode(err, undefinedTable) {
		return x.t.notOwner(ctx, x.w.Cursor.Epoch)
	}
	attempt := "write to the target"
	change := -1
	if req != nil && req.change >= 0 {
		change = req.change
		attempt = "write to " + x.w.Changes[change].Object
	}
	err = x.t.failed(attempt, err)
	var known *syncline.Error
	if change >= 0 && errors.As(err, &known) && known.Class == syncline.Rejected && known.Change < 0 {
		known.Change = change
	}
	return err
}

// bindAll looks up the objects of all changes, before the transaction begins.
func (x *transaction) bindAll(ctx context.Context) error {
	for i := range x.w.Changes {
		c := &x.w.Changes[i]
		if err := x.supported(i, c); err != nil {
			return err
		}
		o, err := x.t.object(ctx, x.s, c.Object)
		if err != nil {
			return err
		}
		x.deferrable = x.deferrable || o.table.deferrable
		if c.Op == syncline.ChangeTruncate {
			continue
		}
		if _, err := x.t.binding(ctx, x.s, c.Object, c.Row.Schema); err != nil {
			return err
		}
	}
	return nil
}

// supported refuses what a caller must not ask of this target.
func (x *transaction) supported(i int, c *syncline.Change) error {
	keyed := c.Row.Schema != nil && len(c.Row.Schema.Key) > 0
	ok := false
	switch c.Op {
	case syncline.ChangePut:
		ok = keyed && (x.w.Ordered || c.OldKey == nil)
	case syncline.ChangeMark:
		ok = keyed && c.OldKey == nil
	case syncline.ChangeClear:
		ok = keyed && c.Parent > 0 && c.Parent < len(c.Row.Schema.Key)
	case syncline.ChangeDelete:
		ok = keyed || x.w.Ordered && c.Before != nil
	case syncline.ChangeInsert:
		ok = c.Row.Schema != nil && !keyed
	case syncline.ChangeReplace:
		ok = c.Row.Schema != nil && !keyed && x.w.Ordered && c.Before != nil
	case syncline.ChangeTruncate:
		ok = x.w.Ordered
	}
	if !ok {
		return syncline.Errorf(syncline.Fatal, "write_malformed", "change %d of the write is none that this target takes in this place", i).At(i)
	}
	return nil
}

// settle finds out what became of the changes that had no effect: a partial put of a record that is not there, or a record
// that is newer.
func (x *transaction) settle(ctx context.Context) error {
	for _, g := range x.recheck {
		status := x.t.shape(g.b, g.status(), g.b.key, wayArrays, nil)
		outcome := make([]syncline.Outcome, len(g.members))
		absent := syncline.OutcomeApplied
		if g.partial() {
			absent = syncline.OutcomeMissing
		}
		for i := range outcome {
			outcome[i] = absent
		}
		var bad error
		x.queue = append(x.queue, request{shape: status, change: -1, args: x.keyArgs(g), row: func(v [][]byte) {
			i, err := strconv.Atoi(string(v[0]))
			if err != nil || i < 1 || i > len(outcome) {
				bad = fmt.Errorf("status of row %q of %d", v[0], len(outcome))
				return
			}
			outcome[i-1] = syncline.OutcomeApplied
			if string(v[1]) == "t" {
				outcome[i-1] = syncline.OutcomeStale
			}
		}})
		if err := errors.Join(x.flush(ctx), bad); err != nil {
			return err
		}
		for i, m := range g.members {
			x.res.Outcomes[m] = outcome[i]
		}
	}
	return nil
}
