package state

import (
	"context"
	"database/sql"
	"time"

	"syncline"
)

// JournalOver returns the slice's batch that read the event at (seq, index); ok is false where the journal has none: the slice began later,
// gave it up, has not read it, or the batch was trimmed.
func (s *Store) JournalOver(ctx context.Context, sl Slice, seq syncline.Seq, index int) (j *Journal, ok bool, err error) {
	err = s.read(ctx, "read the journal", func(rows *sql.Rows) error {
		found, err := scanJournal(rows)
		if err == nil {
			at := place{seq, index}
			j, ok = found, at.before(placeOf(found.To))
		}
		return err
	}, sqlJournalOver, sl.Route, sl.Slice, int64(seq), index)
	return j, ok && err == nil, err
}

// JournalFrom returns up to limit of the slice's batches in the order of what they read: those that end behind (seq, index) and at or after
// from.
func (s *Store) JournalFrom(ctx context.Context, sl Slice, seq syncline.Seq, index int, from time.Time, limit int) ([]*Journal, error) {
	first := int64(0)
	if !from.IsZero() {
		var err error
		if first, err = s.firstBatch(ctx, sl, micros(from)); err != nil {
			return nil, err
		}
	}
	var list []*Journal
	err := s.read(ctx, "read the journal", func(rows *sql.Rows) error {
		j, err := scanJournal(rows)
		if err == nil && !j.End.Before(from) {
			list = append(list, j)
		}
		return err
	}, sqlJournalFrom, sl.Route, sl.Slice, first, sl.Route, sl.Slice, int64(seq), index, int64(seq), index, limit)
	return list, err
}
