package pgsource

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// pinWait is how long the stream rests while a snapshot is exported; a transaction that runs longer makes it wait for
	// another time.
	pinWait  = 10 * time.Second
	pinRetry = 200 * time.Millisecond
)

// pin is a snapshot for a table without a key. Its rows must stand in the log exactly where it was taken: no row could be
// told from those that the stream brings. The snapshot comes from a temporary slot that is made while the stream rests, so
// that the stream is not beyond the slot's point; then the stream goes on up to that point, and rests for the copy.
type pin struct {
	run   *progress
	point lsn
	conn  *pgx.Conn
}

func (p *pin) close() { hangUp(p.conn) }

// preparePin exports the snapshot once the transactions are over that ran when it was first wanted: making a slot waits for
// the running ones, and the stream with it.
func (s *Source) preparePin(ctx context.Context, p *progress, t *table) error {
	snap, err := s.currentSnapshot(ctx)
	if err != nil {
		return err
	}
	if p.after == 0 {
		p.after = max(snap.xmax, s.state.Barriers[p.Entity])
	}
	if snap.xmin < p.after {
		s.later(pinRetry)
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, pinWait)
	defer cancel()
	ex, conn, err := s.exportSnapshot(limited, s.temporaryName(), " TEMPORARY", []*table{t})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil, errors.Is(err, errRewritten):
		if err == nil {
			hangUp(conn)
		}
		p.after = 0
		s.later(pinRetry)
		return nil
	case err != nil:
		return err
	}
	delete(s.state.Barriers, p.Entity)
	s.checkpoint = nil
	s.pin = &pin{run: p, point: ex.point, conn: conn}
	return nil
}

// startPinned begins the copy: the stream stands at the snapshot's point. What the log has of the table before is void.
func (s *Source) startPinned(ctx context.Context) error {
	p := s.pin
	conn := p.conn
	p.conn = nil
	p.run.begun = false
	return s.startCopier(ctx, conn, []*progress{p.run}, nil, copyMode{reset: true})
}
