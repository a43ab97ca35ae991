package natskv

import (
	"context"

	"syncline"
	"syncline/internal/document"
)

// Apply checks that the caller owns the slice, writes the records in pipelined windows, calls Commit and moves the cursor.
func (t *Target) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	c, err := t.readCursor(ctx)
	if err != nil {
		return syncline.Result{}, err
	}
	if err := t.fence(c, w.Cursor.Epoch); err != nil {
		return syncline.Result{}, err
	}
	a := apply{t: t, w: w, res: syncline.Result{Outcomes: make([]syncline.Outcome, len(w.Changes))}, waiting: map[string]bool{}, refused: map[string]bool{}}
	for i := range w.Changes {
		if err := a.add(ctx, i); err != nil {
			return syncline.Result{}, err
		}
	}
	if err := a.flush(ctx); err != nil {
		return syncline.Result{}, err
	}
	if err := w.Commit(ctx, a.res); err != nil {
		return syncline.Result{}, err
	}
	return a.res, t.move(ctx, w.Cursor)
}

// apply is the state of one Apply.
type apply struct {
	t   *Target
	w   *syncline.Write
	res syncline.Result
	// records wait to be written; changes are the indexes that they come from and waiting their subjects.
	records []record
	changes []int
	waiting map[string]bool
	// deciding wait in the place of records where it is decided about them.
	deciding []deciding
	// refused are the subjects whose later changes are held.
	refused map[string]bool
}

func (a *apply) add(ctx context.Context, i int) error {
	c := &a.w.Changes[i]
	if c.Op == syncline.ChangeTruncate {
		if err := a.flush(ctx); err != nil {
			return err
		}
		if a.w.Decide != nil {
			return a.forget(ctx, c)
		}
		return a.t.truncate(ctx, c.Object, c.Order.Version())
	}
	if c.Op != syncline.ChangeDelete && (c.Op != syncline.ChangePut || c.OldKey != nil || !c.Row.Whole()) {
		return syncline.Errorf(syncline.Fatal, "change_unsupported", "object %s in bucket %s takes whole records and deletes by key", c.Object, a.t.bucket)
	}
	subject, err := a.t.recordSubject(c.Object, c.Row)
	if syncline.ClassOf(err) == syncline.Rejected {
		if c.Op == syncline.ChangeDelete { // such a record is never there
			return nil
		}
		a.refuse(i, subject, err)
		return nil
	}
	if err != nil {
		return err
	}
	if a.waiting[subject] { // what follows builds on the outcome of what waits
		if err := a.flush(ctx); err != nil {
			return err
		}
	}
	if a.refused[subject] {
		a.res.Outcomes[i] = syncline.OutcomeHeld
		return nil
	}
	if a.w.Decide != nil {
		a.deciding = append(a.deciding, deciding{change: i, subject: subject})
		a.waiting[subject] = true
		return nil
	}
	r := record{subject: subject, version: c.Order.Version()}
	if c.Op == syncline.ChangePut {
		if err := document.Check(c.Row); err != nil {
			a.refuse(i, subject, err)
			return nil
		}
		r.document = document.Append(nil, c.Row)
	}
	a.records, a.changes = append(a.records, r), append(a.changes, i)
	a.waiting[subject] = true
	if len(a.records) == window {
		return a.flush(ctx)
	}
	return nil
}

// flush writes the records that wait.
func (a *apply) flush(ctx context.Context) error {
	if a.w.Decide != nil {
		err := a.decided(ctx, a.deciding)
		a.deciding = a.deciding[:0]
		clear(a.waiting)
		return err
	}
	err := a.t.put(ctx, a.records, func(n int, o syncline.Outcome, err error) {
		a.res.Outcomes[a.changes[n]] = o
		if err != nil {
			a.refuse(a.changes[n], a.records[n].subject, err)
		}
	})
	a.records, a.changes = a.records[:0], a.changes[:0]
	clear(a.waiting)
	return err
}

func (a *apply) refuse(i int, subject string, err error) {
	a.res.Outcomes[i] = syncline.OutcomeRejected
	if a.res.Rejected == nil {
		a.res.Rejected = map[int]error{}
	}
	a.res.Rejected[i] = err
	a.refused[subject] = true
}

// truncate marks the object's records as deleted unless they are newer.
func (t *Target) truncate(ctx context.Context, object string, version int64) error {
	var records []record
	remove := func() error {
		err := t.put(ctx, records, func(int, syncline.Outcome, error) {})
		records = records[:0]
		return err
	}
	err := t.each(ctx, object, true, func(subject string, s stored) error {
		if s.live { // put leaves what is newer
			records = append(records, record{subject: subject, version: version})
		}
		if len(records) == window {
			return remove()
		}
		return nil
	})
	if err == nil {
		err = remove()
	}
	if err != nil {
		return err
	}
	t.log.Info("object truncated", "object", object, "bucket", t.bucket)
	return nil
}
