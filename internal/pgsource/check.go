package pgsource

import (
	"context"
	"fmt"
	"strings"

	"syncline"
)

// Check implements syncline.Checker. It changes nothing and may run beside anything: it has a connection of its own.
func (s *Source) Check(ctx context.Context) []syncline.Finding {
	probe, err := s.probe(ctx)
	defer func() { hangUp(probe.sql) }()
	if err != nil {
		return []syncline.Finding{syncline.Failure(err, "")}
	}
	list := []syncline.Finding{{Level: "ok", What: fmt.Sprintf("PostgreSQL %d.%d, wal_level logical", probe.version/10000, probe.version%10000)}}
	list = append(list, probe.checkRights(ctx)...)
	complete := true
	for _, e := range probe.opt.Entities {
		t, err := probe.findTable(ctx, e)
		if err == nil {
			_, _, err = probe.shape(ctx, t, nil)
		}
		if err != nil {
			list, complete = append(list, syncline.Failure(err, "")), false
			continue
		}
		probe.tables = append(probe.tables, t)
		list = append(list, probe.checkTable(ctx, t)...)
	}
	if complete {
		list = append(list, probe.checkPublication(ctx)...)
	}
	return append(list, probe.checkRoom(ctx)...)
}

// probe returns a source with a connection of its own; what it learns, s does not. The caller hangs up, after an error too.
func (s *Source) probe(ctx context.Context) (*Source, error) {
	p := &Source{opt: s.opt, log: s.log, config: s.config, types: map[uint32]typeInfo{}, known: map[string]struct{}{}, keyKinds: map[string][]syncline.Kind{}}
	var err error
	if p.sql, err = p.connect(ctx); err != nil {
		return p, err
	}
	return p, p.server(ctx)
}

// Describe implements syncline.Describer.
func (s *Source) Describe(ctx context.Context) ([]*syncline.Schema, error) {
	probe, err := s.probe(ctx)
	defer func() { hangUp(probe.sql) }()
	if err != nil {
		return nil, err
	}
	var list []*syncline.Schema
	for _, e := range probe.opt.Entities {
		var schema *syncline.Schema
		t, err := probe.findTable(ctx, e)
		if err == nil {
			schema, _, err = probe.shape(ctx, t, nil)
		}
		switch {
		case err == nil:
			list = append(list, schema)
		case syncline.ClassOf(err) == syncline.Transient: // nothing is known of the table
			return nil, err
		}
	}
	return list, nil
}

func (s *Source) checkRights(ctx context.Context) []syncline.Finding {
	var may bool
	err := s.sql.QueryRow(ctx, `SELECT rolreplication OR rolsuper OR EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'rds_replication' AND pg_has_role(r.oid, 'member'))
		FROM pg_roles WHERE rolname = current_user`).Scan(&may)
	switch {
	case err != nil:
		return []syncline.Finding{syncline.Failure(s.fault("read the role's attributes", err), "")}
	case !may:
		return []syncline.Finding{{Level: "fail", Code: "privilege_missing", What: "role " + s.config.User + " may not replicate",
			Fix: s.replicationFix()}}
	}
	return nil
}

func (s *Source) checkTable(ctx context.Context, t *table) (list []syncline.Finding) {
	var may bool
	if err := s.sql.QueryRow(ctx, "SELECT has_table_privilege($1::oid, 'SELECT')", t.oid).Scan(&may); err != nil {
		return []syncline.Finding{syncline.Failure(s.fault("read the rights on "+t.String(), err), "")}
	}
	if !may {
		list = append(list, syncline.Finding{Level: "fail", Code: "privilege_missing", What: "role " + s.config.User + " may not read " + t.String(),
			Fix: "GRANT SELECT ON " + quote(t.schema, t.name) + " TO " + quote(s.config.User) + ";"})
	}
	if t.appendOnly() {
		list = append(list, syncline.Finding{Level: "warn", Code: "replica_identity_missing",
			What: t.String() + " has no replica identity: inserts and truncates are captured, updates and deletes are not",
			Fix:  s.bareFix(t)})
	}
	if len(list) == 0 {
		list = append(list, syncline.Finding{Level: "ok", What: "table " + t.String()})
	}
	return list
}

func (s *Source) checkPublication(ctx context.Context) (list []syncline.Finding) {
	p, err := s.readPublications(ctx)
	if err != nil {
		return []syncline.Finding{syncline.Failure(err, "")}
	}
	for _, t := range s.tables {
		if err := s.incomplete(p, t); err != nil {
			list = append(list, syncline.Failure(err, ""))
		}
		if c := p.tables[t.oid]; t.appendOnly() && (c.update || c.delete) {
			list = append(list, syncline.Finding{Level: "warn", Code: "updates_refused",
				What: "PostgreSQL refuses updates and deletes of " + t.String() + ": it is in a publication of updates and has no replica identity",
				Fix:  "add a primary key; or take the table out of the publication"})
		}
	}
	todo := s.statements(p)
	switch {
	case len(todo) > 0 && s.opt.Manage:
		if err := s.mayPublish(ctx, p, todo); err != nil {
			return append(list, syncline.Failure(err, ""))
		}
		list = append(list, syncline.Finding{Level: "ok", What: "will run: " + strings.Join(todo, "; ")})
		for _, name := range s.outgrown(p) {
			list = append(list, syncline.Finding{Level: "warn", Code: "updates_missed",
				What: name + " got a replica identity after it was published: its updates and deletes are captured from the next start on, those before were missed",
				Fix:  "once it runs: syncline sync " + name})
		}
	case len(todo) > 0:
		list = append(list, syncline.Failure(s.unpublished(p, todo), ""))
	case len(list) == 0:
		list = append(list, syncline.Finding{Level: "ok", What: "publication " + s.opt.Publication})
	}
	return list
}

// checkRoom looks at the slot, or at the room for it.
func (s *Source) checkRoom(ctx context.Context) []syncline.Finding {
	sl, err := s.findSlot(ctx)
	if err != nil {
		return []syncline.Finding{syncline.Failure(err, "")}
	}
	if s.opt.Logged > 1 || s.opt.Logged == 1 && !s.opt.Manage { // the first batch of a managed source is the intent, before the slot
		s.state.State = stateCreated
	}
	if sl != nil {
		err := s.checkSlot(sl)
		if err == nil && s.opt.Manage && s.opt.Logged == 0 {
			err = s.slotForeign(sl)
		}
		if err != nil {
			return []syncline.Finding{syncline.Failure(err, "")}
		}
		return []syncline.Finding{{Level: "ok", What: "slot " + s.opt.Slot + " exists"}}
	}
	if !s.opt.Manage || s.state.State == stateCreated {
		return []syncline.Finding{syncline.Failure(s.slotMissing(), "")}
	}
	var slots, senders int
	err = s.sql.QueryRow(ctx, `SELECT current_setting('max_replication_slots')::int - (SELECT count(*)::int FROM pg_replication_slots),
		current_setting('max_wal_senders')::int - (SELECT count(*)::int FROM pg_stat_replication)`).Scan(&slots, &senders)
	switch {
	case err != nil:
		return []syncline.Finding{syncline.Failure(s.fault("count replication slots", err), "")}
	case slots < 1:
		return []syncline.Finding{{Level: "fail", Code: "slots_exhausted", What: "all replication slots of the server are in use",
			Fix: "raise max_replication_slots, or drop a slot that nobody uses"}}
	case senders < 1:
		return []syncline.Finding{syncline.Failure(s.sendersExhausted(), "")}
	}
	return []syncline.Finding{{Level: "ok", What: fmt.Sprintf("room for %d more replication slots", slots)}}
}
