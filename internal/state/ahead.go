package state

import (
	"context"
	"database/sql"

	"syncline"
)

// Ahead is a task that was carried out before those that come first in the log. Its event is read again in its turn, and counted then.
type Ahead struct {
	Rule    string
	Seq     syncline.Seq
	Index   int
	Outcome Outcome // Applied, Filtered or Superseded
}

// Ahead returns the tasks at or beyond the slice's cursor that are done.
func (s *Store) Ahead(ctx context.Context, sl Slice) ([]Ahead, error) {
	var list []Ahead
	err := s.read(ctx, "read what is done ahead of "+sl.String(), func(rows *sql.Rows) error {
		var a Ahead
		err := rows.Scan(&a.Rule, &a.Seq, &a.Index, &a.Outcome)
		list = append(list, a)
		return err
	}, sqlAhead, sl.Route, sl.Slice, sl.Route, sl.Slice)
	return list, err
}

func (w *writer) addAhead(ctx context.Context, sl Slice, a *Ahead, at place) error {
	_, err := w.exec(ctx, sqlAddAhead, sl.Route, sl.Slice, int64(a.Seq), a.Index, a.Rule, a.Outcome, int64(at.seq), at.idx)
	return err
}

// checkAhead finds tasks that cannot be done ahead of the batch.
func (c *Commit) checkAhead(bad func(string, ...any) error) error {
	for _, a := range c.Ahead {
		if (place{a.Seq, a.Index}).before(placeOf(c.Journal.To)) || a.Outcome == Parked {
			return bad("task %d.%d of rule %s is not one that can be done ahead of it", a.Seq, a.Index, a.Rule)
		}
	}
	return nil
}
