package state

import (
	"context"
	"database/sql"
	"strings"

	"syncline"
)

// idStep bounds the parameters of one lookup.
const idStep = 500

// SeenIDs returns those of the ids that the source has already published, with the hash of their bodies.
func (s *Store) SeenIDs(ctx context.Context, source string, ids []string) (map[string][]byte, error) {
	seen := map[string][]byte{}
	for len(ids) > 0 {
		step := ids[:min(idStep, len(ids))]
		ids = ids[len(step):]
		args := make([]any, 0, len(step)+1)
		args = append(args, source)
		for _, id := range step {
			args = append(args, id)
		}
		err := s.read(ctx, "look up event ids of "+source, func(rows *sql.Rows) error {
			var id string
			var hash []byte
			err := rows.Scan(&id, &hash)
			seen[id] = hash
			return err
		}, sqlSeenIDs+strings.Repeat("?, ", len(step)-1)+"?)", args...)
		if err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// SaveIDs remembers the ids of events that the source's log holds in entry seq, with the hash of their bodies.
func (s *Store) SaveIDs(ctx context.Context, source string, seq syncline.Seq, ids map[string][]byte) error {
	return s.write(ctx, "save event ids of "+source, func(ctx context.Context, w *writer) error {
		for id, hash := range ids {
			if _, err := w.exec(ctx, sqlSaveID, source, id, int64(seq), hash); err != nil {
				return err
			}
		}
		return nil
	})
}

// TrimIDs forgets the ids of entries below this one, which were purged.
func (s *Store) TrimIDs(ctx context.Context, source string, below syncline.Seq) error {
	for n := int64(trimStep); n == trimStep; {
		err := s.write(ctx, "trim event ids of "+source, func(ctx context.Context, w *writer) (err error) {
			n, err = w.exec(ctx, sqlTrimIDs, source, source, int64(below), trimStep)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
