package memtarget

import (
	"context"
	"maps"

	"syncline"
)

// Own takes ownership of the slice.
func (t *Target) Own(ctx context.Context, atLeast uint64) (syncline.Cursor, string, bool, error) {
	if err := ctx.Err(); err != nil {
		return syncline.Cursor{}, "", false, err
	}
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	row, ok := t.store.cursors[t.at]
	if !ok {
		return syncline.Cursor{}, "", false, nil
	}
	row.cursor.Epoch = max(row.cursor.Epoch, atLeast) + 1
	t.store.steps = append(t.store.steps, undo{t.store.setCursorLocked(t.at, row)})
	return row.cursor, row.state, true, nil
}

// Place writes the cursor.
func (t *Target) Place(ctx context.Context, c syncline.Cursor, state string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	t.store.steps = append(t.store.steps, undo{t.store.setCursorLocked(t.at, cursorRow{c, state})})
	return nil
}

// LogEpoch keeps the object's epochs where records are guarded.
func (t *Target) LogEpoch(ctx context.Context, object, log string, begins bool) (uint8, error) {
	if err := ctx.Err(); err != nil || t.txn {
		return 1, err
	}
	s := t.store
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.epochs[object]
	epochs := syncline.LogEpochs{}
	maps.Copy(epochs, was)
	epoch, changed, err := epochs.Enter(object, log, begins)
	if err == nil && changed {
		s.epochs[object] = epochs
		s.steps = append(s.steps, undo{func() { s.epochs[object] = was }})
	}
	return epoch, err
}

// fenceLocked refuses an owner that is no longer the owner.
func (t *Target) fenceLocked(c syncline.Cursor) error {
	row, ok := t.store.cursors[t.at]
	switch {
	case !ok:
		return syncline.Errorf(syncline.Fatal, "cursor_lost", "route %s, slice %d has no cursor at the target", t.at.route, t.at.number)
	case row.cursor.Epoch != c.Epoch:
		return syncline.Errorf(syncline.Fatal, "fenced", "route %s, slice %d belongs to epoch %d, not %d", t.at.route, t.at.number, row.cursor.Epoch, c.Epoch)
	}
	return nil
}

func (t *Target) moveLocked(c syncline.Cursor) func() {
	return t.store.setCursorLocked(t.at, cursorRow{c, t.store.cursors[t.at].state})
}
