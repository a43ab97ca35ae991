package capture

import (
	"context"
	"errors"

	"syncline"
)

// Lister lists the records of a source beside Run, as Run would have them: what is derived of events is derived of them, too.
type Lister struct {
	source syncline.Source
	lister syncline.Lister
	derive *deriver
}

// Lister returns what lists the source's records beside Run, with connections of its own. A source that cannot is refused (rejected, code
// "source_cannot_read").
func (c *Capture) Lister() (*Lister, error) {
	kind := c.next()
	source, err := kind.Open()
	if err != nil {
		return nil, err
	}
	lister, ok := source.(syncline.Lister)
	if !ok {
		return nil, errors.Join(syncline.Errorf(syncline.Rejected, "source_cannot_read", "source %s cannot list its records", c.o.Source), source.Close())
	}
	return &Lister{source, lister, newDeriver(kind.Derive, func(string, error) {})}, nil
}

// List returns the records as events of a batch, and where the next listing begins: "" after the last record.
func (l *Lister) List(ctx context.Context, q syncline.Listing) (b *syncline.Batch, next string, err error) {
	b = &syncline.Batch{Chunk: &syncline.Chunk{Kind: syncline.RunFull, Number: 1, Entity: q.Entity}}
	next, err = l.lister.List(ctx, q, func(r syncline.Row) error {
		b.Events = append(b.Events, syncline.Event{Op: syncline.OpSnapshot, Schema: r.Schema, Ordinal: uint32(len(b.Events) + 1), After: r.Values})
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	l.derive.batch(b)
	return b, next, nil
}

// Estimate tells about how many records the entity has; negative where that is not known.
func (l *Lister) Estimate(ctx context.Context, entity string) (int64, error) {
	return l.lister.Estimate(ctx, entity)
}

// Close releases what listing needs.
func (l *Lister) Close() error { return l.source.Close() }
