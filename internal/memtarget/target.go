package memtarget

import (
	"context"
	"errors"
	"maps"
	"slices"

	"syncline"
)

// Options say which slice a target is and how it behaves.
type Options struct {
	Route string
	Slice int
	// NoTransactions: records take effect one by one, guarded by their order, and the cursor after them, as at a key-value
	// store. Otherwise a Write is one transaction.
	NoTransactions bool
	// Unnamed: a refused Write does not tell which of its changes is to blame, as where constraints are checked at the end.
	Unnamed bool
}

// Target is a state target. It holds its cursor, and its objects have a shape.
type Target struct {
	store *Store
	at    slice
	txn   bool
	// unnamed: see Options.
	unnamed bool
}

// Open returns a target on the store. Any number may be open for one slice; the epoch decides who may write.
func (s *Store) Open(o Options) *Target {
	return &Target{store: s, at: slice{o.Route, o.Slice}, txn: !o.NoTransactions, unnamed: o.Unnamed}
}

// Traits of a store with transactions are those of an SQL database, of one without those of a key-value store.
func (t *Target) Traits() syncline.Traits {
	return syncline.Traits{Transactional: t.txn, Partial: t.txn, Rekey: t.txn, Keyless: t.txn, Decides: true, Marks: t.txn, Sets: t.txn}
}

// Close does nothing: the store stays.
func (t *Target) Close() error { return nil }

// Apply carries out the write. A caller that breaks the contract of Write gets a fatal error, code "write_malformed".
func (t *Target) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if err := ctx.Err(); err != nil {
		return syncline.Result{}, err
	}
	if err := t.wellFormed(w); err != nil {
		return syncline.Result{}, err
	}
	t.store.mu.Lock()
	fault := t.store.take()
	err := t.fenceLocked(w.Cursor)
	t.store.mu.Unlock()
	if fault == FailBefore {
		return syncline.Result{}, errBefore
	}
	if err != nil {
		return syncline.Result{}, err
	}
	var res syncline.Result
	if t.txn {
		res, err = t.applyTxn(ctx, w, fault)
	} else {
		res, err = t.applySingly(ctx, w, fault)
	}
	if err == nil && fault == FailAfter {
		err = errAfter
	}
	if err != nil {
		return syncline.Result{}, err
	}
	return res, nil
}

// applyTxn stages the changes, and merges them with the cursor after Commit, if the epoch still allows it: so a new owner
// comes before the commit or after it.
func (t *Target) applyTxn(ctx context.Context, w *syncline.Write, fault Fault) (syncline.Result, error) {
	st, err := t.stage(w)
	if known := (*syncline.Error)(nil); t.unnamed && errors.As(err, &known) {
		known.Change = -1
	}
	if err != nil {
		return syncline.Result{}, err
	}
	if fault == FailMidway {
		return syncline.Result{}, errMidway
	}
	res := syncline.Result{Outcomes: st.outcomes}
	if err := w.Commit(ctx, res); err != nil {
		return syncline.Result{}, err
	}
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	if err := t.fenceLocked(w.Cursor); err != nil {
		return syncline.Result{}, err
	}
	for _, o := range st.objects {
		if o.moved() {
			return syncline.Result{}, errMoves
		}
	}
	step := append(st.mergeLocked(), t.moveLocked(w.Cursor))
	t.store.steps = append(t.store.steps, step)
	return res, nil
}

// applySingly writes record by record, then the cursor.
func (t *Target) applySingly(ctx context.Context, w *syncline.Write, fault Fault) (syncline.Result, error) {
	res := syncline.Result{Outcomes: make([]syncline.Outcome, len(w.Changes)), Rejected: map[int]error{}}
	type id struct {
		object string
		key    syncline.Key
	}
	held := map[id]bool{}
	for i := range w.Changes {
		if fault == FailMidway && i >= len(w.Changes)/2 {
			return syncline.Result{}, errMidway
		}
		c := &w.Changes[i]
		key, _ := c.Row.Key()
		if held[id{c.Object, key}] {
			res.Outcomes[i] = syncline.OutcomeHeld
			continue
		}
		outcome, err := t.writeRecord(i, c, key, w.Decide)
		if err != nil && outcome != syncline.OutcomeRejected {
			return syncline.Result{}, err
		}
		if err != nil {
			res.Rejected[i], held[id{c.Object, key}] = err, true
		}
		res.Outcomes[i] = outcome
	}
	if fault == FailMidway {
		return syncline.Result{}, errMidway
	}
	if err := w.Commit(ctx, res); err != nil {
		return syncline.Result{}, err
	}
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	if err := t.fenceLocked(w.Cursor); err != nil {
		return syncline.Result{}, err
	}
	t.store.steps = append(t.store.steps, undo{t.moveLocked(w.Cursor)})
	return res, nil
}

// writeRecord is one guarded compare-and-set.
func (t *Target) writeRecord(i int, c *syncline.Change, key syncline.Key, decide decide) (syncline.Outcome, error) {
	if decide != nil && c.Op != syncline.ChangeTruncate {
		return t.decideRecord(i, c, key, decide)
	}
	s := t.store
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[c.Object]
	if o == nil {
		return 0, missing(c.Object)
	}
	if c.Op == syncline.ChangeTruncate {
		newer := maps.Clone(o.records)
		maps.DeleteFunc(newer, func(_ syncline.Key, r *record) bool { return r.order.Version() <= c.Order.Version() })
		s.steps = append(s.steps, undo{o.setRows(newer, nil), o.setShadows(nil)})
		return syncline.OutcomeApplied, nil
	}
	if old := o.records[key]; old != nil && old.order.Version() > c.Order.Version() {
		return syncline.OutcomeStale, nil
	}
	next := &record{order: c.Order, gone: true}
	if c.Op == syncline.ChangePut {
		if err := s.check(i, c.Object, key); err != nil {
			return syncline.OutcomeRejected, err
		}
		next = &record{order: c.Order, values: o.merged(nil, c.Row)}
	}
	s.steps = append(s.steps, undo{o.setRecord(key, next)})
	return syncline.OutcomeApplied, nil
}

// wellFormed checks what the caller of Apply promises.
func (t *Target) wellFormed(w *syncline.Write) error {
	type id struct {
		object string
		key    syncline.Key
	}
	seen := make(map[id]bool, len(w.Changes))
	bad := func(i int, what string) error {
		return syncline.Errorf(syncline.Fatal, "write_malformed", "change %d of the write: %s", i, what).At(i)
	}
	for i := range w.Changes {
		c := &w.Changes[i]
		if c.Op == syncline.ChangeTruncate {
			if !w.Ordered {
				return bad(i, "a truncate without order")
			}
			continue
		}
		keyless := len(c.Row.Schema.Key) == 0
		switch {
		case c.Op == syncline.ChangeSend:
			return bad(i, "an event for a target of state")
		case (c.Op == syncline.ChangePut || c.Op == syncline.ChangeMark) && keyless:
			return bad(i, "a put without a key")
		case c.Op == syncline.ChangeMark && (!t.txn || c.OldKey != nil):
			return bad(i, "a mark where there can be none")
		case (c.Op == syncline.ChangeInsert || c.Op == syncline.ChangeReplace) && (!keyless || !t.txn):
			return bad(i, "an operation on keyless rows")
		case !w.Ordered && (c.OldKey != nil || c.Op == syncline.ChangeReplace || c.Op == syncline.ChangeDelete && keyless):
			return bad(i, "an operation that needs order")
		case !t.txn && (c.OldKey != nil || c.Op == syncline.ChangePut && !c.Row.Whole()):
			return bad(i, "columns that were not sent")
		}
		if c.Op == syncline.ChangeClear && (!t.txn || c.Parent < 1 || c.Parent >= len(c.Row.Schema.Key)) {
			return bad(i, "a clear without a parent")
		}
		if keyless || c.Op == syncline.ChangeClear {
			continue
		}
		k, ok := c.Row.Key()
		if !ok {
			return bad(i, "a key that is not whole")
		}
		if !w.Ordered && seen[id{c.Object, k}] {
			return bad(i, "a key for the second time")
		}
		seen[id{c.Object, k}] = true
	}
	return nil
}

func missing(object string) error {
	return syncline.Errorf(syncline.Fatal, "object_missing", "there is no object %s", object)
}

// Scan lists the records in the order of their keys.
func (t *Target) Scan(ctx context.Context, name string, s *syncline.Schema, each func(syncline.Row) error) error {
	t.store.mu.Lock()
	o := t.store.objects[name]
	if o == nil {
		t.store.mu.Unlock()
		return missing(name)
	}
	var rows []syncline.Row
	for _, k := range sortedKeys(o.records) {
		if r := o.records[k]; !r.gone {
			rows = append(rows, syncline.Row{Schema: s, Values: o.render(r, s)})
		}
	}
	for _, r := range o.heap {
		rows = append(rows, syncline.Row{Schema: s, Values: o.render(r, s)})
	}
	t.store.mu.Unlock()
	for _, r := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[syncline.Key]*record) []syncline.Key {
	keys := make([]syncline.Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Current reads records by key.
func (t *Target) Current(_ context.Context, name string, s *syncline.Schema, keys []syncline.Row) ([][]syncline.Value, error) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	o := t.store.objects[name]
	if o == nil {
		return nil, missing(name)
	}
	out := make([][]syncline.Value, len(keys))
	for i, row := range keys {
		k, _ := row.Key()
		if r := o.records[k]; r != nil && !r.gone {
			out[i] = o.render(r, s)
		}
	}
	return out, nil
}
