package state

import (
	"context"
	"database/sql"
	"time"

	"syncline"
)

// The status of a gap.
const (
	// GapDeclared: the source has to begin its stream anew.
	GapDeclared = "declared"
	// GapOpen: what is missing has to be read anew.
	GapOpen = "open"
	// GapFilling: it is being read.
	GapFilling = "filling"
	// GapClosed: everything that was missing is at the targets.
	GapClosed = "closed"
)

// Gap is what was given up before the targets had it.
type Gap struct {
	ID     string
	Source string
	// Route is the only one that lacks something; "" = every route of the source does.
	Route string
	// Reason is the code of why it was given up; By is who decided so: "policy", or an operator.
	Reason, By string
	// Status is one of the constants above.
	Status string
	// From and To are where the source's stream ends and begins again; To is zero until it has. Of a route's gap they are zero.
	From, To syncline.Position
	// FromSeq and ToSeq are the first and the last entry of the log that the route lacks.
	FromSeq, ToSeq syncline.Seq
	// Attempts counts how often it was begun to fill it, Next is when that may be tried, Error why it did not succeed. Of a route's gap that is
	// being filled, Next is when the present try began.
	Attempts int
	Next     time.Time
	Error    string
	// Created and Updated are set by the store.
	Created, Updated time.Time
}

// AddGap takes note of a gap. One whose id is known is left as it is.
func (s *Store) AddGap(ctx context.Context, g Gap) error {
	g.Created = time.Now()
	g.Updated = g.Created
	return s.write(ctx, "note gap "+g.ID, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlAddGap, append(gapValues(&g), g.ID)...)
		return err
	})
}

func gapValues(g *Gap) []any {
	return []any{g.Source, g.Route, g.Reason, g.By, g.Status, g.From.Epoch, int64(g.From.Commit), g.From.Ordinal, g.To.Epoch, int64(g.To.Commit),
		int64(g.FromSeq), int64(g.ToSeq), g.Attempts, micros(g.Next), g.Error, micros(g.Created), micros(g.Updated)}
}

// UpdateGap changes a gap in one transaction; ErrNotFound is in the chain where there is none.
func (s *Store) UpdateGap(ctx context.Context, id string, change func(*Gap)) error {
	return s.write(ctx, "update gap "+id, func(ctx context.Context, w *writer) error {
		var list []Gap
		if err := w.each(ctx, scanGap(&list), sqlGap, id); err != nil {
			return err
		}
		if len(list) == 0 {
			return notFound("gap_not_found", "gap", id)
		}
		g := list[0]
		change(&g)
		g.Updated = time.Now()
		_, err := w.exec(ctx, sqlSetGap, append(gapValues(&g), id)...)
		return err
	})
}

// OpenGaps returns the gaps that are not closed, the oldest first.
func (s *Store) OpenGaps(ctx context.Context) (list []Gap, err error) {
	err = s.read(ctx, "read gaps", scanGap(&list), sqlOpenGaps)
	return list, err
}

// Gaps returns the gaps of a source since then, the newest first.
func (s *Store) Gaps(ctx context.Context, source string, since time.Time) (list []Gap, err error) {
	err = s.read(ctx, "read gaps", scanGap(&list), sqlGapsSince, source, micros(since))
	return list, err
}

// TrimGaps forgets those that were closed before this time, but for each source's last.
func (s *Store) TrimGaps(ctx context.Context, before time.Time) error {
	return s.write(ctx, "trim gaps", func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, sqlTrimGaps, micros(before))
		return err
	})
}

func scanGap(list *[]Gap) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var g Gap
		var from, to, next, created, updated int64
		err := rows.Scan(&g.ID, &g.Source, &g.Route, &g.Reason, &g.By, &g.Status, &g.From.Epoch, &from, &g.From.Ordinal, &g.To.Epoch, &to, &g.FromSeq, &g.ToSeq,
			&g.Attempts, &next, &g.Error, &created, &updated)
		g.From.Commit, g.To.Commit = uint64(from), uint64(to)
		g.Next, g.Created, g.Updated = fromMicros(next), fromMicros(created), fromMicros(updated)
		*list = append(*list, g)
		return err
	}
}
