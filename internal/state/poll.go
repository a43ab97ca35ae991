package state

import (
	"context"
	"database/sql"
	"strings"

	"syncline"
	"syncline/internal/poll"
)

// settleStep bounds how many records of polled entities one transaction settles or forgets: other writers wait meanwhile.
const settleStep = 2000

var _ poll.Memory = (*Store)(nil)

// Noted implements poll.Memory.
func (s *Store) Noted(ctx context.Context, source string) (noted, settled uint64, err error) {
	err = s.read(ctx, "read what is known of "+source, func(rows *sql.Rows) error { return rows.Scan(&noted, &settled) }, sqlNoted, source)
	return noted, settled, err
}

// Note implements poll.Memory.
func (s *Store) Note(ctx context.Context, source, entity string, position uint64, seen []poll.Seen) error {
	return s.write(ctx, "note records of "+source+"/"+entity, func(ctx context.Context, w *writer) error {
		if _, err := w.exec(ctx, sqlNotePolled, source, entity, int64(position)); err != nil {
			return err
		}
		for _, one := range seen {
			if _, err := w.exec(ctx, sqlNote, source, entity, int64(position), string(one.Key), one.Hash, one.State); err != nil {
				return err
			}
		}
		return nil
	})
}

// Settle implements poll.Memory. What is left of a position that is settled in part is noted still: settling is the same again.
func (s *Store) Settle(ctx context.Context, source string, upTo uint64) (more bool, err error) {
	var entities []int64
	err = s.read(ctx, "read what is noted of "+source, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		entities = append(entities, id)
		return err
	}, sqlNotedEntities, source, int64(upTo))
	if err != nil || len(entities) == 0 {
		return false, err
	}
	var settled int64
	err = s.write(ctx, "settle what is noted of "+source, func(ctx context.Context, w *writer) (err error) {
		id, limit := entities[0], int64(settleStep)
		for _, query := range []string{sqlSettledAt, sqlSettleSeen, sqlSettleGone, sqlSettled} {
			if settled, err = w.exec(ctx, query, id, int64(upTo), limit); err != nil {
				return err
			}
		}
		return nil
	})
	return settled == settleStep || len(entities) > 1, err
}

// Discard implements poll.Memory.
func (s *Store) Discard(ctx context.Context, source string, beyond uint64) error {
	return s.write(ctx, "discard what is noted of "+source, func(ctx context.Context, w *writer) error {
		if _, err := w.exec(ctx, sqlDiscardNotes, int64(beyond), source); err != nil {
			return err
		}
		_, err := w.exec(ctx, sqlDiscardNoted, int64(beyond), source)
		return err
	})
}

// Known implements poll.Memory.
func (s *Store) Known(ctx context.Context, source, entity string, keys []syncline.Key) (map[syncline.Key]poll.Seen, error) {
	known := make(map[syncline.Key]poll.Seen, len(keys))
	for len(keys) > 0 {
		step := keys[:min(idStep, len(keys))]
		keys = keys[len(step):]
		args := make([]any, 0, len(step)+2)
		args = append(args, source, entity)
		for _, k := range step {
			args = append(args, string(k))
		}
		in := strings.Repeat("?, ", len(step)-1) + "?)"
		// What is noted comes later, by position, and so replaces what is settled.
		for _, query := range []string{sqlKnownSeen + in, sqlKnownNoted + in + " ORDER BY position"} {
			err := s.read(ctx, "look up records of "+source+"/"+entity, func(rows *sql.Rows) error {
				one, err := scanSeen(rows)
				if known[one.Key] = one; one.State == poll.Gone {
					delete(known, one.Key)
				}
				return err
			}, query, args...)
			if err != nil {
				return nil, err
			}
		}
	}
	return known, nil
}

func scanSeen(rows *sql.Rows) (one poll.Seen, err error) {
	var key string
	err = rows.Scan(&key, &one.Hash, &one.State)
	one.Key = syncline.Key(key)
	return one, err
}

// After implements poll.Memory.
func (s *Store) After(ctx context.Context, source, entity string, after syncline.Key, limit int) ([]poll.Seen, error) {
	var list []poll.Seen
	err := s.read(ctx, "list records of "+source+"/"+entity, func(rows *sql.Rows) error {
		one, err := scanSeen(rows)
		list = append(list, one)
		return err
	}, sqlSeenAfter, source, entity, after == "", string(after), limit)
	return list, err
}

// Forget implements poll.Memory.
func (s *Store) Forget(ctx context.Context, source, entity string) (more bool, err error) {
	err = s.write(ctx, "forget records of "+source+"/"+entity, func(ctx context.Context, w *writer) error {
		for _, query := range []string{sqlForgetNotes, sqlForgetSeen} {
			n, err := w.exec(ctx, query, source, entity, settleStep)
			if err != nil {
				return err
			}
			more = more || n == settleStep
		}
		return nil
	})
	return more, err
}
