package state

import (
	"context"
	"database/sql"
	"time"
)

// PauseKind is what a pause is of.
type PauseKind string

// The kinds of pauses.
const (
	PauseSource PauseKind = "source"
	PauseEntity PauseKind = "entity"
	PauseRule   PauseKind = "rule"
	PauseTarget PauseKind = "target"
)

// Pause holds every route back that reads the source or the entity, has the rule, or writes to the target.
type Pause struct {
	Kind PauseKind
	// Name is the system's or the rule's; of an entity SYSTEM/ENTITY.
	Name string
	// Reason is the operator's, By who it was.
	Reason, By string
	Since      time.Time
}

// AddPauses writes all of them or none. One that is there already gets another reason and author, and keeps its time.
func (s *Store) AddPauses(ctx context.Context, pauses []Pause) error {
	return s.write(ctx, "pause", func(ctx context.Context, w *writer) error {
		for _, p := range pauses {
			if _, err := w.exec(ctx, sqlAddPause, string(p.Kind), p.Name, p.Reason, p.By, micros(p.Since)); err != nil {
				return err
			}
		}
		return nil
	})
}

// RemovePauses lifts all of them, or none and returns an error with ErrNotFound in its chain where one of them is not there.
func (s *Store) RemovePauses(ctx context.Context, pauses []Pause) error {
	return s.write(ctx, "lift a pause", func(ctx context.Context, w *writer) error {
		for _, p := range pauses {
			n, err := w.exec(ctx, sqlRemovePause, string(p.Kind), p.Name)
			if err != nil {
				return err
			}
			if n == 0 {
				return notFound("pause_not_found", "a pause of "+string(p.Kind), p.Name)
			}
		}
		return nil
	})
}

// Pauses returns all pauses, those of a kind beside each other.
func (s *Store) Pauses(ctx context.Context) ([]Pause, error) {
	var list []Pause
	err := s.read(ctx, "read pauses", func(rows *sql.Rows) error {
		var p Pause
		var since int64
		err := rows.Scan(&p.Kind, &p.Name, &p.Reason, &p.By, &since)
		p.Since = fromMicros(since)
		list = append(list, p)
		return err
	}, sqlPauses)
	return list, err
}
