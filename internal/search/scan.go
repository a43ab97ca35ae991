package search

import (
	"context"

	"syncline"
	"syncline/internal/document"
)

// Scan lists the records as they stand at its beginning.
func (t *Target) Scan(ctx context.Context, object string, s *syncline.Schema, each func(syncline.Row) error) error {
	ix, err := t.directory.Index(object)
	if err != nil {
		return err
	}
	r, err := ix.reader()
	if err != nil {
		return ix.failed("scan", err)
	}
	defer r.Close() //nolint:errcheck // a snapshot in memory
	var stop error  // each's own error, which is the caller's and passed on as it is
	err = r.each(ctx, nil, func(id string, e entry) error {
		if !e.live {
			return nil
		}
		values, err := r.values(s, id)
		if err == nil && values != nil {
			stop = each(syncline.Row{Schema: s, Values: values})
			err = stop
		}
		return err
	})
	if stop != nil {
		return stop
	}
	if err != nil {
		return ix.failed("scan", err)
	}
	return nil
}

// Current reads records by key.
func (t *Target) Current(ctx context.Context, object string, s *syncline.Schema, keys []syncline.Row) ([][]syncline.Value, error) {
	ix, err := t.directory.Index(object)
	if err != nil {
		return nil, err
	}
	r, err := ix.reader()
	if err != nil {
		return nil, ix.failed("read", err)
	}
	defer r.Close() //nolint:errcheck // a snapshot in memory
	out := make([][]syncline.Value, len(keys))
	for i, row := range keys {
		if err := ctx.Err(); err != nil {
			return nil, ix.failed("read", err)
		}
		key, ok := row.Key()
		if !ok {
			return nil, keyless(object)
		}
		if out[i], err = r.values(s, documentID(key)); err != nil {
			return nil, ix.failed("read", err)
		}
	}
	return out, nil
}

// values returns the record, nil where there is none.
func (r *reader) values(s *syncline.Schema, id string) ([]syncline.Value, error) {
	text, err := r.document(id)
	if err != nil || text == nil {
		return nil, err
	}
	return document.Parse(s, text, syncline.Null)
}
