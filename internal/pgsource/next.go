package pgsource

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
// goes for a table that somebody took out of the publication, also where it is back.
func (s *Source) lookAtTables(ctx context.Context) error {
	if time.Since(s.looked) < s.opt.Heartbeat {
		return nil
	}
	s.looked = time.Now()
	names := make([]string, len(s.tables))
	for i, t := range s.tables {
		names[i] = t.entity.Table
	}
	var replaced string
	err := s.sql.QueryRow(ctx, `SELECT coalesce(min(name), '') FROM unnest($1::text[], $2::oid[]) AS t(name, oid) WHERE to_regclass(name) IS DISTINCT FROM oid`,
		names, s.oids()).Scan(&replaced)
	if err != nil {
		return s.fault("look at the tables", err)
	}
	if name := replaced; name != "" {
		return syncline.Errorf(syncline.Fatal, "table_replaced", "source %s: table %s was dropped, renamed or made anew: nothing of the new one is captured", s.opt.Name, name).
			WithFix("`syncline resume --system %s` takes the table that has the name now and reads it anew; what only the old one held stays at the targets", s.opt.Name)
	}
	p, err := s.readPublications(ctx)
	if err != nil {
		return err
	}
	var altered []*table
	for _, t := range s.tables {
		c, published := p.tables[t.oid]
		if !published {
			return s.withdrawn(t)
		}
		if !c.since(t.published) {
			altered = append(altered, t)
			continue
		}
		if t.published = c.ways(); !t.early {
			s.noteTable(t)
		}
	}
	if len(altered) > 0 {
		return s.altered(altered)
	}
	young, err := s.tooYoung(ctx, s.young)
	if err == nil && len(young) < len(s.young) {
		err = syncline.Errorf(syncline.Transient, "publication_joins", "source %s: the slot can be read through publication %s from now on", s.opt.Name, strings.Join(s.young, ", ")).
			WithFix("none: the source is opened again, and captures its tables")
	}
	return err
}

// withdrawn is the error of a table that somebody took out of the publication.
func (s *Source) withdrawn(t *table) error {
	steps := "put it back; then `syncline resume --system %s` has it read anew; %s"
	if s.opt.Manage {
		steps = "`syncline resume --system %s` puts it back and has it read anew; %s"
	}
	return syncline.Errorf(syncline.Fatal, "publication_incomplete", "source %s: table %s was taken out of publication %s: nothing of it is captured since", s.opt.Name, t, s.opt.Publication).
		WithFix(steps, s.opt.Name, s.deletedMeanwhile(t.entity.Name))
}

// codeAltered is of tables that are published, and may not have been for a while.
const codeAltered = "publication_altered"

// altered is the error of tables that are published by other rows of the catalog than before. Whether anything was lost is not known.
func (s *Source) altered(tables []*table) error {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.String()
	}
	const shown = 5
	if extra := len(names) - shown; extra > 0 {
		names = append(names[:shown], fmt.Sprintf("%d more", extra))
	}
	deleted := s.deletedMeanwhile(tables[0].entity.Name)
	if len(tables) > 1 {
		deleted += ", and so for each of the others"
	}
	return syncline.Errorf(syncline.Fatal, codeAltered, "source %s: publication %s was altered, or a table was taken out of it and put back: changes of %s may have been lost",
		s.opt.Name, s.opt.Publication, strings.Join(names, ", ")).
		WithFix("`syncline resume --system %s` has them read anew; %s", s.opt.Name, deleted)
}

// deletedMeanwhile is what reading a table anew does not do.
func (s *Source) deletedMeanwhile(entity string) string {
	return fmt.Sprintf("`syncline sync full %s/%s --delete-missing` finds what was deleted meanwhile", s.opt.Name, entity)
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
