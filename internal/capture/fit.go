package capture

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"syncline"
)

// toasted is the size from which a value that did not change may be left out of an update. PostgreSQL does the same, by itself,
// with values of about this size.
const toasted = 2000

// stubBytes is what the size of a stub takes in the stored form.
const stubBytes = 5

// appendSmaller stores as much of a batch that the log refused as too large as it takes. The same batch always becomes the same, so
// that an attempt without an answer can be repeated from the start.
func (c *Capture) appendSmaller(ctx context.Context, b *syncline.Batch, refused error) (syncline.Seq, error) {
	smaller, stubs, ok, err := fit(b, c.o.Log.MaxBatch())
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, refused
	}
	seq, err := c.o.Log.Append(ctx, smaller)
	if err != nil {
		return 0, err
	}
	for _, i := range stubs {
		c.log.Warn("record is too large for the log: its routes park it", "entity", smaller.Events[i].Schema.Entity,
			"position", smaller.PositionOf(i), "bytes", smaller.Events[i].Stub)
	}
	return seq, nil
}

// fit returns the batch with so much left out of its largest events that its stored form has at most limit bytes, and the indexes
// of the events that are stubs now. What no target can do without is left out last:
//
//  1. what a large old row has beside its key, as if the source did not log old rows. What remains is an ordinary update or delete;
//  2. large values that the update did not change, as PostgreSQL does where it does not log old rows. What remains is an update with
//     columns that were not sent;
//  3. everything but the key: the event becomes a stub.
//
// A table without a key is told apart by its whole rows: there is only the third. Order, positions and ids stay as they are. ok
// is false where even that is not enough.
func fit(b *syncline.Batch, limit int) (smaller *syncline.Batch, stubs []int, ok bool, err error) {
	stored, err := syncline.AppendBatch(nil, b)
	if err != nil {
		return nil, nil, false, fmt.Errorf("measure a batch: %w", err)
	}
	over := len(stored) - limit
	out := *b
	out.Events = slices.Clone(b.Events)
	order := make([]int, len(out.Events))
	for i := range order {
		order[i] = i
	}
	for _, lighter := range []func(was, now *syncline.Event) syncline.Event{withoutOldRow, withoutUnchanged, asStub} {
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(eventBytes(&out.Events[j]), eventBytes(&out.Events[i])) })
		for _, i := range order {
			if over <= 0 {
				break
			}
			now := lighter(&b.Events[i], &out.Events[i])
			saved := eventBytes(&out.Events[i]) - eventBytes(&now)
			if now.Stub > 0 {
				saved -= stubBytes
			}
			if saved > 0 {
				out.Events[i], over = now, over-saved
			}
		}
	}
	for i := range out.Events {
		if out.Events[i].Stub > 0 {
			stubs = append(stubs, i)
		}
	}
	return &out, stubs, over <= 0, nil
}

func withoutOldRow(_, now *syncline.Event) syncline.Event {
	e := *now
	if len(e.Schema.Key) > 0 && (rowBytes(e.Before) > toasted || e.After == nil) {
		e.Before = syncline.Row{Schema: e.Schema, Values: e.Before}.KeyOnly()
	}
	return e
}

func withoutUnchanged(was, now *syncline.Event) syncline.Event {
	e := *now
	if len(e.Schema.Key) > 0 && was.Before != nil && e.After != nil {
		e.After = changed(was)
	}
	return e
}

func asStub(was, now *syncline.Event) syncline.Event {
	if len(now.Schema.Key) > 0 && now.After == nil {
		return *now // a delete has its key only, and needs no more
	}
	return now.AsStub(max(rowBytes(was.Before), rowBytes(was.After)))
}

// changed returns the record without large values that the old row has too.
func changed(e *syncline.Event) []syncline.Value {
	after := slices.Clone(e.After)
	for i, v := range after {
		if len(v.Bytes()) > toasted && !slices.Contains(e.Schema.Key, i) && v.Identical(e.Before[i]) {
			after[i] = syncline.Unset
		}
	}
	return after
}

// eventBytes is about what the event takes in the stored form, headers aside: what is saved of it is saved there at least.
func eventBytes(e *syncline.Event) int { return rowBytes(e.Before) + rowBytes(e.After) }

func rowBytes(row []syncline.Value) (n int) {
	for i := range row {
		n += len(row[i].Bytes())
	}
	return n
}
