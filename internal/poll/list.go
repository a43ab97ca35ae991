package poll

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"

	"syncline"
)

var (
	_ syncline.Lister    = (*Source)(nil)
	_ syncline.KeyLister = (*Source)(nil)
	_ syncline.Sizer     = (*Source)(nil)
)

// listed returns what the entity is read from as it is now, by a connection that List has opened. It is used by sources that are not opened
// otherwise.
func (s *Source) listed(ctx context.Context, entity string) (*Entity, Table, error) {
	e := s.entities[entity]
	if e == nil {
		return nil, nil, syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s", s.opt.Name, entity)
	}
	if !s.listing {
		if _, err := s.opt.Dialect.Open(ctx); err != nil {
			return nil, nil, err
		}
		s.listing = true
	}
	t, err := s.table(ctx, e)
	return e, t, err
}

// List implements syncline.Lister, in the order of the keys. A record that says it is deleted is none.
func (s *Source) List(ctx context.Context, q syncline.Listing, each func(syncline.Row) error) (next string, err error) {
	e, t, err := s.listed(ctx, q.Entity)
	if err != nil {
		return "", err
	}
	rd := s.readerOf(e, t)
	give := func(rows [][]syncline.Value) error {
		for _, row := range rows {
			if e.Deleted.Is(rd.schema, row) {
				continue
			}
			if err := each(syncline.Row{Schema: rd.schema, Values: row}); err != nil {
				return err
			}
		}
		return nil
	}
	switch {
	case q.Keys != nil:
		for keys := range slices.Chunk(q.Keys, LookupKeys) {
			found, err := t.Lookup(ctx, keys)
			if err == nil {
				err = give(found.Rows)
			}
			if err != nil {
				return "", err
			}
		}
		return "", nil
	case q.Sample:
		chosen, err := s.sample(ctx, t, q.Limit)
		if err != nil {
			return "", err
		}
		return "", give(chosen)
	}
	var after *Place
	if q.After != "" {
		if after = new(Place); json.Unmarshal([]byte(q.After), after) != nil {
			return "", syncline.Errorf(syncline.Rejected, "listing_invalid", "a listing of %s cannot go on: its place is not known any more", q.Entity).WithFix("begin again")
		}
	}
	for left := q.Limit; ; {
		rows := s.opt.PageRows
		if q.Limit > 0 {
			rows = min(rows, left)
		}
		page, err := t.Read(ctx, Range{ByKey: true, After: after, Rows: rows, Bytes: pageBytes})
		if err == nil {
			err = give(values(page.Rows))
		}
		if err != nil || !page.More || len(page.Rows) == 0 {
			return "", err
		}
		after = &page.Rows[len(page.Rows)-1].Place
		if q.Limit > 0 {
			if left -= len(page.Rows); left <= 0 {
				text, err := json.Marshal(after)
				return string(text), err
			}
		}
	}
}

func values(rows []Row) [][]syncline.Value {
	out := make([][]syncline.Value, len(rows))
	for i := range rows {
		out[i] = rows[i].Values
	}
	return out
}

// sample chooses rows at random out of all of them, each as likely as any other (algorithm R, Vitter 1985): databases differ in what they offer
// for that, and queries have nothing.
func (s *Source) sample(ctx context.Context, t Table, n int) (chosen [][]syncline.Value, err error) {
	seen := 0
	for after := (*Place)(nil); ; {
		page, err := t.Read(ctx, Range{ByKey: true, After: after, Rows: s.opt.PageRows, Bytes: pageBytes})
		if err != nil {
			return nil, err
		}
		for i := range page.Rows {
			if seen++; len(chosen) < n {
				chosen = append(chosen, page.Rows[i].Values)
			} else if at := rand.IntN(seen); at < n {
				chosen[at] = page.Rows[i].Values
			}
		}
		if !page.More || len(page.Rows) == 0 {
			return chosen, nil
		}
		after = &page.Rows[len(page.Rows)-1].Place
	}
}

// Keys implements syncline.KeyLister.
func (s *Source) Keys(ctx context.Context, entity string, each func(syncline.Key) error) error {
	_, err := s.List(ctx, syncline.Listing{Entity: entity}, func(r syncline.Row) error {
		k, _ := r.Key()
		return each(k)
	})
	return err
}

// Estimate implements syncline.Lister.
func (s *Source) Estimate(ctx context.Context, entity string) (int64, error) {
	_, t, err := s.listed(ctx, entity)
	if err != nil {
		return 0, err
	}
	return t.Estimate(ctx)
}

// Size implements syncline.Sizer.
func (s *Source) Size(ctx context.Context, entity string) (int64, error) {
	defer s.Close() //nolint:errcheck // it was only read
	return s.Estimate(ctx, entity)
}
