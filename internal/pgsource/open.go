package pgsource

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"syncline"
)

// Open implements syncline.Source.
func (s *Source) Open(ctx context.Context, stored []byte, last syncline.Position) error {
	var err error
	if s.sql, err = s.connect(ctx); err != nil {
		return err
	}
	if err := s.server(ctx); err != nil {
		return err
	}
	if s.tables, err = s.findTables(ctx); err != nil {
		return err
	}
	s.epoch = max(last.Epoch, firstEpoch)
	s.pos = last
	s.pos.Epoch = s.epoch
	s.resume, s.emitted, s.marked = s.pos, s.pos, time.Now()
	s.confirmed.Store(s.pos.Commit)
	if len(stored) == 0 {
		return s.openNew(ctx)
	}
	s.state, err = decodeCheckpoint(stored)
	if s.opt.Gap.Declared(s.pos) {
		return s.openBehindGap(ctx)
	}
	if err != nil {
		return err
	}
	if err := s.checkIdentity(); err != nil {
		return err
	}
	s.noteRuns()
	if s.state.State == stateIntent {
		s.phase = phaseCreate
		return nil
	}
	return s.openAgain(ctx)
}

func (s *Source) findTables(ctx context.Context) ([]*table, error) {
	tables := make([]*table, len(s.opt.Entities))
	for i, e := range s.opt.Entities {
		t, err := s.findTable(ctx, e)
		if err != nil {
			return nil, err
		}
		if _, _, err := s.shape(ctx, t, nil); err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(tables[:i], func(o *table) bool { return o.oid == t.oid }); at >= 0 {
			return nil, syncline.Errorf(syncline.Fatal, "table_twice", "source %s: entities %s and %s are both table %s", s.opt.Name, tables[at].entity.Name, e.Name, t)
		}
		tables[i] = t
	}
	return tables, nil
}

// openNew begins a log. A slot of our name that exists was made by hand (manage off), or is not ours.
func (s *Source) openNew(ctx context.Context) error {
	sl, err := s.findSlot(ctx)
	if err != nil {
		return err
	}
	if s.opt.Manage {
		if sl != nil {
			return s.slotForeign(sl)
		}
		s.phase = phaseIntent
		return nil
	}
	if err := s.ensurePublications(ctx); err != nil {
		return err
	}
	if err := s.checkSlot(sl); err != nil {
		return err
	}
	s.beginAt(sl)
	s.born()
	s.phase = phaseRecord
	return s.startNow(ctx)
}

// beginAt has the stream begin where a slot that was made by hand stands.
func (s *Source) beginAt(sl *slot) {
	s.pos = syncline.Position{Epoch: s.epoch, Commit: uint64(sl.confirmed)}
	s.resume, s.emitted = s.pos, s.pos
	s.confirmed.Store(s.pos.Commit)
}

// openAgain goes on where the log ends.
func (s *Source) openAgain(ctx context.Context) error {
	// A server that went back in time has no slot either: a backup leaves them out.
	end, err := s.walEnd(ctx)
	if err != nil {
		return err
	}
	if end < lsn(s.pos.Commit) {
		return syncline.Errorf(syncline.Fatal, "source_behind", "source %s: the server's WAL ends at %s, before the log's end at %s: the server lost changes that it had sent",
			s.opt.Name, end, lsn(s.pos.Commit)).WithFix("the server was restored or lost its tail: bring the newer one back; or %s", s.acceptGap())
	}
	sl, err := s.findSlot(ctx)
	if err != nil {
		return err
	}
	if err := s.checkSlot(sl); err != nil {
		return err
	}
	if err := s.notAhead(sl); err != nil {
		return err
	}
	p, err := s.readPublications(ctx)
	if err != nil {
		return err
	}
	s.dismissUnpublished(p)
	if p, err = s.cover(ctx, p); err != nil {
		return err
	}
	if err := s.postpone(ctx, p); err != nil {
		return err
	}
	if err := s.setFloor(ctx); err != nil {
		return err
	}
	s.phase = phaseRun
	if err := s.admitEntities(ctx); err != nil {
		return err
	}
	return s.startNow(ctx)
}

// startNow begins to stream, so that a slot that is in use or lost shows in Open; where copies must come before, Next does.
func (s *Source) startNow(ctx context.Context) error {
	if len(s.cutRuns()) > 0 {
		return nil
	}
	return s.startStream(ctx)
}

// born sets the state right after the slot was made or accepted.
func (s *Source) born() {
	s.state = checkpoint{Format: checkpointFormat, Identity: s.identity, State: stateCreated}
	s.coverTables()
	for _, t := range s.tables {
		routes, wanted := s.opt.InitialRoutes[t.entity.Name]
		if s.opt.Snapshot == "never" || s.opt.InitialRoutes != nil && !wanted {
			continue
		}
		s.state.Runs = append(s.state.Runs, &progress{Run: "initial." + t.entity.Name, Kind: syncline.RunSnapshot, Entity: t.entity.Name, Routes: routes})
	}
	s.noteRuns()
}

// coverTables notes that the stream brings every change of the tables from where it begins.
func (s *Source) coverTables() {
	s.checkpoint = nil
	for _, t := range s.tables {
		s.state.Entities = append(s.state.Entities, t.entity.Name)
		s.noteTable(t)
	}
}

// admitEntities takes entities in that are new in the configuration. Transactions that wrote to their tables before they
// were published may still be running: their changes will not come, so a run of the entity has to see them. One that comes back
// is read anew for the routes that copies are for, which go on from where they were and know nothing of the time between.
func (s *Source) admitEntities(ctx context.Context) error {
	s.dismissEntities()
	var barrier uint64
	for _, t := range s.tables {
		if slices.Contains(s.state.Entities, t.entity.Name) {
			if s.noteTable(t) {
				s.phase = phaseRecord
			}
			continue
		}
		if t.early {
			continue
		}
		if barrier == 0 {
			snap, err := s.currentSnapshot(ctx)
			if err != nil {
				return err
			}
			barrier = snap.xmax
			s.phase, s.checkpoint = phaseRecord, nil
		}
		s.state.Entities = append(s.state.Entities, t.entity.Name)
		s.noteTable(t)
		if s.state.Barriers == nil {
			s.state.Barriers = map[string]uint64{}
		}
		s.state.Barriers[t.entity.Name] = barrier
		s.readmit(t.entity.Name)
	}
	// A run of an entity that left the configuration cannot go on.
	s.state.Runs = slices.DeleteFunc(s.state.Runs, func(p *progress) bool {
		gone := s.entity(p.Entity) == nil
		if gone {
			s.checkpoint = nil
		}
		return gone
	})
	return nil
}

// noteTable notes which table the entity's changes come from, and how it is published. It reports whether that was not noted yet.
func (s *Source) noteTable(t *table) bool {
	name := t.entity.Name
	if s.state.Tables[name] == t.oid && slices.Equal(s.state.Published[name], t.published) {
		return false
	}
	if s.state.Tables == nil {
		s.state.Tables = map[string]uint32{}
	}
	if s.state.Published == nil {
		s.state.Published = map[string][]string{}
	}
	s.state.Tables[name], s.state.Published[name] = t.oid, t.published
	s.checkpoint = nil
	return true
}

// dismissUnpublished takes entities out whose tables somebody took out of the publication, whether they were put back or not, so that they come
// back like those that left the configuration.
func (s *Source) dismissUnpublished(p published) {
	for _, t := range s.tables {
		name := t.entity.Name
		at := slices.Index(s.state.Entities, name)
		c, published := p.tables[t.oid]
		if at < 0 || s.state.Tables[name] != t.oid || published && c.since(s.state.Published[name]) {
			continue
		}
		s.log.Warn("table was not published for a while, or its publication was altered", "code", codeAltered, "entity", name, "table", t.String(),
			"publication", s.opt.Publication, "fix", s.deletedMeanwhile(name))
		s.state.Entities = slices.Delete(s.state.Entities, at, at+1)
		s.state.Left = append(s.state.Left, name)
		s.checkpoint = nil
	}
}

// dismissEntities notes which entities are not in the configuration any more, or have another table by the same name.
func (s *Source) dismissEntities() {
	s.state.Entities = slices.DeleteFunc(s.state.Entities, func(name string) bool {
		t, was := s.entity(name), s.state.Tables[name]
		replaced := t != nil && was != 0 && was != t.oid
		if replaced {
			s.log.Warn("table was replaced: what only the old one held stays at the targets", "entity", name, "table", t.String())
			for _, p := range s.state.Runs {
				if p.Entity == name { // what it has read is of the old one
					p.Chunk, p.Reached, p.Done = 0, nil, 0
				}
			}
		}
		gone := t == nil || replaced
		if gone {
			delete(s.state.Tables, name)
			delete(s.state.Published, name)
			s.state.Left = append(s.state.Left, name)
			delete(s.state.Barriers, name)
			s.checkpoint = nil
		}
		return gone
	})
}

// readmit asks for a run of an entity that was captured before. Without one for whom it could be, there is nothing but to say so.
func (s *Source) readmit(name string) {
	at := slices.Index(s.state.Left, name)
	if at < 0 {
		return
	}
	s.state.Left = slices.Delete(s.state.Left, at, at+1)
	routes, wanted := s.opt.InitialRoutes[name]
	if s.opt.Snapshot == "never" || s.opt.InitialRoutes != nil && !wanted {
		s.log.Warn("entity is captured again: what changed meanwhile is not known", "entity", name)
		return
	}
	s.log.Warn("entity is captured again: it is read anew, because what changed meanwhile is not known", "entity", name)
	s.state.Runs = append(s.state.Runs, &progress{Run: "again." + name + "." + rand.Text(), Kind: syncline.RunFull, Entity: name, Routes: routes})
	s.noteRuns()
}

// walEnd is where the server's durable WAL ends; on a standby, what it has replayed.
func (s *Source) walEnd(ctx context.Context) (lsn, error) {
	var text string
	err := s.sql.QueryRow(ctx, "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END::text").Scan(&text)
	if err != nil {
		return 0, s.fault("read the end of the WAL", err)
	}
	return parseLSN(text)
}
