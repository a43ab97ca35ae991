package pgsource

import (
	"context"
	"errors"
	"slices"
	"time"

	"syncline"
)

const (
	// heartbeatGrowth is how much WAL others must have written before an idle source writes a heartbeat.
	heartbeatGrowth = 1 << 20
	// pollGap is how often the server is asked for its position while a chunk waits for the stream to pass it.
	pollGap = 50 * time.Millisecond
)

var errNotOpen = errors.New("the source is not open")

// Next implements syncline.Source.
func (s *Source) Next(ctx context.Context) (*syncline.Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, idle, err := s.step(ctx)
		if err != nil {
			return nil, err
		}
		if b != nil {
			s.emitted, s.marked = b.Position, time.Now()
			return b, nil
		}
		if idle {
			if err := s.await(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// step does the next thing that is due. It returns a batch, or that there is nothing to do but to wait, or neither.
func (s *Source) step(ctx context.Context) (b *syncline.Batch, idle bool, err error) {
	if len(s.outbox) > 0 {
		b, s.outbox = s.outbox[0], s.outbox[1:]
		return b, false, nil
	}
	switch s.phase {
	case phaseClosed:
		return nil, false, errNotOpen
	case phaseIntent:
		return s.intend(), false, nil
	case phaseCreate:
		b, err := s.create(ctx)
		return b, false, err
	case phaseRecord:
		s.phase = phaseRun
		b := s.batch()
		b.Sync = true
		return b, false, nil
	}
	if s.copier != nil {
		b, err := s.copyRows(ctx)
		return b, false, err
	}
	if s.stream == nil {
		return nil, false, s.startAgain(ctx)
	}
	s.takeRequests()
	st := s.stream
	if !st.open && len(st.events) == 0 {
		if err := s.lookThrough(ctx); err != nil {
			return nil, false, err
		}
		if did, err := s.stepRuns(ctx); did || err != nil {
			return nil, false, err
		}
	}
	if s.chunk == nil || !s.chunk.overflows() {
		more, err := s.fill(ctx)
		if err != nil {
			return nil, false, err
		}
		if more || !st.open {
			if b := s.flush(); b != nil {
				return b, false, nil
			}
		}
		if !st.open && s.markerDue(time.Now()) {
			return s.batch(), false, nil
		}
		if more {
			return nil, false, nil
		}
	}
	if err := s.lookAtTables(ctx); err != nil {
		return nil, false, err
	}
	return nil, true, s.heartbeat(ctx)
}

// lookAtTables refuses to go on where a table was dropped or another one has its name: what the new one holds is not in the log, and
// what is done to it comes only if the publication is one of all tables. Opening the source again takes the new one and reads it. The same
// goes for a table that somebody took out of the publication.
func (s *Source) lookAtTables(ctx context.Context) error {
	if time.Since(s.looked) < s.opt.Heartbeat {
		return nil
	}
	s.looked = time.Now()
	names, oids := make([]string, len(s.tables)), make([]uint32, len(s.tables))
	for i, t := range s.tables {
		names[i], oids[i] = t.entity.Table, t.oid
	}
	var replaced, withdrawn string
	err := s.sql.QueryRow(ctx, `SELECT coalesce(min(name) FILTER (WHERE to_regclass(name) IS DISTINCT FROM oid), ''),
			coalesce(min(name) FILTER (WHERE oid NOT IN (SELECT c.oid FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname
				JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename WHERE p.pubname = ANY($3))), '')
		FROM unnest($1::text[], $2::oid[]) AS t(name, oid)`, names, oids, s.names).Scan(&replaced, &withdrawn)
	if err != nil {
		return s.fault("look at the tables", err)
	}
	if name := replaced; name != "" {
		return syncline.Errorf(syncline.Fatal, "table_replaced", "source %s: table %s was dropped, renamed or made anew: nothing of the new one is captured", s.opt.Name, name).
			WithFix("`syncline resume --system %s` takes the table that has the name now and reads it anew; what only the old one held stays at the targets", s.opt.Name)
	}
	if at := slices.IndexFunc(s.tables, func(t *table) bool { return t.entity.Table == withdrawn }); at >= 0 {
		return s.withdrawn(s.tables[at])
	}
	return nil
}

// withdrawn is the error of a table that somebody took out of the publication. Who manages it by hand has to ask for the records, see
// dismissUnpublished.
func (s *Source) withdrawn(t *table) error {
	err := syncline.Errorf(syncline.Fatal, "publication_incomplete", "source %s: table %s was taken out of publication %s: nothing of it is captured since", s.opt.Name, t, s.opt.Publication)
	if s.opt.Manage {
		return err.WithFix("`syncline resume --system %s` puts it back and has it read anew", s.opt.Name)
	}
	return err.WithFix("put it back; then `syncline resume --system %[1]s` and `syncline sync %[1]s/%[2]s`: what changed meanwhile is not in the log", s.opt.Name, t.entity.Name)
}

// await blocks until something happens that step can act on.
func (s *Source) await(ctx context.Context) error {
	st := s.stream
	wait := s.opt.Heartbeat
	if !st.open {
		wait -= time.Since(st.activity)
		if s.pos.Compare(s.emitted) > 0 {
			wait = min(wait, s.opt.Marker-time.Since(s.marked))
		}
	}
	if s.runsPending() {
		wait = min(wait, time.Until(s.runs.retry))
	}
	blocks := st.feed.arrivals()
	var results chan chunkRows
	if c := s.chunk; c != nil {
		if results = c.results; c.rows != nil {
			results = nil
			st.feed.poll()
			wait = min(wait, pollGap)
		}
		if c.overflows() {
			blocks = nil
		}
	}
	if s.pin != nil {
		st.feed.poll()
		wait = min(wait, pollGap)
	}
	timer := time.NewTimer(max(wait, time.Millisecond))
	defer timer.Stop()
	select {
	case block, ok := <-blocks:
		if !ok {
			return s.fed(ctx)
		}
		st.block = block
	case rows := <-results:
		s.chunk.rows = &rows
	case <-s.wake:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// heartbeat writes a logical message where nothing was captured for a while although the server's WAL grows: its commit
// moves the slot, and shows that the way from the server to the log is open. Before PostgreSQL 14 keepalives alone move it.
func (s *Source) heartbeat(ctx context.Context) error {
	st := s.stream
	if st.open || time.Since(st.activity) < s.opt.Heartbeat {
		return nil
	}
	grown := st.walEnd - min(st.quietEnd, st.walEnd)
	st.activity = time.Now()
	if s.version < 140000 || s.standby || grown < heartbeatGrowth {
		return nil
	}
	st.quietEnd = st.walEnd
	_, err := s.sql.Exec(ctx, "SELECT pg_logical_emit_message(true, 'syncline_heartbeat', '')")
	return s.fault("write a heartbeat", err)
}
