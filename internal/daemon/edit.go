package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// EditTask gives a task that waits another record, and has it tried.
func (e engine) EditTask(ctx context.Context, id string, record json.RawMessage, reason string) error {
	e.changing.RLock()
	defer e.changing.RUnlock()
	err := e.command(ctx, id, func(ctx context.Context, r *route, x state.Exception) error {
		if err := e.retryable(r, &x); err != nil {
			return err
		}
		edited, err := r.edited(&x, record)
		if err != nil {
			return err
		}
		return r.apply.Edit(ctx, x, edited, state.Edit{At: time.Now(), By: ops.CallerName(ctx), Reason: reason})
	})
	e.note(ctx, err, "task is edited and tried again", reason, "task", id)
	return err
}

// edited returns the task's stored record with the fields that the JSON object names. They are what the rule reads: columns of the source.
func (r *route) edited(x *state.Exception, record json.RawMessage) ([]byte, error) {
	invalid := func(format string, args ...any) *syncline.Error {
		return syncline.Errorf(syncline.Rejected, "record_invalid", format, args...)
	}
	b, err := syncline.DecodeBatch(x.Record)
	if err != nil {
		return nil, err
	}
	ev := &b.Events[0]
	if ev.After == nil || ev.Stub > 0 {
		return nil, invalid("task %s has no record that could be edited: its event is %s", x.Task, ev.Op).
			WithFix("retry or cancel it")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(record, &members); err != nil || members == nil {
		return nil, invalid("the record is not a JSON object")
	}
	after := append([]syncline.Value(nil), ev.After...)
	for name, raw := range members {
		i := ev.Schema.Index(name)
		if i < 0 {
			return nil, invalid("%s has no column %s", x.Entity, name).WithFix("name columns of the source, as `syncline tasks show %s` has them", x.Task)
		}
		v, err := document.ParseValue(&ev.Schema.Columns[i], raw)
		if err == nil {
			err = fits(&ev.Schema.Columns[i], ev.After[i], v)
		}
		if err != nil {
			return nil, invalid("column %s: %w", name, err)
		}
		after[i] = v
	}
	if err := r.keepsKey(x, ev, after); err != nil {
		return nil, err
	}
	ev.After = after
	return syncline.AppendBatch(nil, b)
}

// fits returns why a column cannot have the value. A column that already had a value of another kind takes one of that kind.
func fits(c *syncline.Column, was, v syncline.Value) error {
	switch k := v.Kind(); {
	case k == syncline.KindNull:
		if !c.Nullable && !was.IsNull() {
			return errors.New("it cannot be null")
		}
		return nil
	case k != c.Kind && k != was.Kind() && (k != syncline.KindInt || c.Kind != syncline.KindUint):
		return errors.New("a value of kind " + k.String() + " where the source has " + c.Kind.String())
	case k == syncline.KindUUID:
		if uuid.Validate(v.Text()) != nil {
			return errors.New("it is no UUID")
		}
	case k == syncline.KindDate, k == syncline.KindTimestamp, k == syncline.KindTimestampTZ:
		if _, err := v.AsTime(); err != nil && v.Text() != "infinity" && v.Text() != "-infinity" {
			return errors.New("it is no " + k.String())
		}
	}
	return nil
}

// keepsKey refuses another key: the task stands in the order of its own.
func (r *route) keepsKey(x *state.Exception, ev *syncline.Event, after []syncline.Value) error {
	changed := syncline.Errorf(syncline.Rejected, "record_key_changed", "the edited record of task %s has another key", x.Task).
		WithFix("leave the key as it is; cancel the task if its key is wrong, and write the record at the source")
	was, hadKey := ev.Key()
	now, hasKey := (syncline.Row{Schema: ev.Schema, Values: after}).Key()
	if hadKey != hasKey || was != now {
		return changed
	}
	for i := range r.compiled {
		if r.compiled[i].ID != x.Rule {
			continue
		}
		binding, err := r.compiled[i].Fit(ev.Schema)
		if err != nil {
			return err
		}
		before, had := binding.TargetKey(ev.After)
		if after, has := binding.TargetKey(after); had && (!has || before != after) {
			return changed
		}
	}
	return nil
}
