package pgsource

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"syncline"
)

// A table without a replica identity must not be in a publication that publishes updates or deletes: the application's own
// UPDATE and DELETE would fail from then on. Such tables go to a second publication, which publishes inserts and truncates
// only. A table that gets a replica identity later moves to the first one.
const appendSuffix = "_append"

// published is what the server publishes of our tables under our publications' names.
type published struct {
	exists map[string]bool // by publication
	// holds are the tables of each publication.
	holds map[string][]*table
	// tables are by oid.
	tables map[uint32]coverage
}

type coverage struct {
	insert, update, delete, truncate bool
	// partial: a column list or a row filter.
	partial bool
	// main and appended tell which publication the table was found in, appended only where it is listed there by itself.
	main, appended bool
	// rows are those of the catalog by which the table is published. Each is the oid of one that names the table or its schema, or of the publication
	// where that is of all tables, and the number of the transaction that altered the publication last. A table that is taken out and put back has another
	// row, one of a publication that was altered and altered back another number. Neither changes with anything else: other tables, a list that has
	// the table as before, VACUUM.
	rows []string
	// whole are the rows of those publications that publish everything by themselves.
	whole []string
}

// ways are the rows of which one is enough, as long as it stays.
func (c coverage) ways() []string {
	if len(c.whole) > 0 {
		return c.whole
	}
	return []string{strings.Join(c.rows, "+")}
}

// since tells whether the table has been published since it was in one of these ways. Of none, from an older version, nothing is known.
func (c coverage) since(ways []string) bool {
	return len(ways) == 0 || slices.ContainsFunc(c.ways(), func(way string) bool { return slices.Contains(ways, way) })
}

func (s *Source) readPublications(ctx context.Context) (published, error) {
	p := published{exists: map[string]bool{}, holds: map[string][]*table{}, tables: map[uint32]coverage{}}
	rows, err := s.sql.Query(ctx, `SELECT pubname::text FROM pg_publication WHERE pubname = ANY($1)`, s.publications())
	if err != nil {
		return p, s.fault("read the publications", err)
	}
	var name string
	if _, err = pgx.ForEachRow(rows, []any{&name}, func() error {
		p.exists[name] = true
		return nil
	}); err != nil {
		return p, s.fault("read the publications", err)
	}
	const tree = "(SELECT c.oid UNION SELECT relid FROM pg_partition_ancestors(c.oid))"
	by := `SELECT p.oid WHERE p.puballtables UNION ALL SELECT r.oid FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid IN ` + tree
	partial := "false"
	if s.version >= 150000 {
		by += ` UNION ALL SELECT n.oid FROM pg_publication_namespace n
			WHERE n.pnpubid = p.oid AND n.pnnspid IN (SELECT relnamespace FROM pg_class WHERE oid IN ` + tree + `)`
		partial = `t.rowfilter IS NOT NULL OR cardinality(t.attnames) < (SELECT count(*) FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')`
	}
	rows, err = s.sql.Query(ctx, `SELECT p.pubname::text, c.oid, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, `+partial+`, p.pubname = $2,
			p.pubname <> $2 AND EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid),
			array(SELECT oid || '.' || p.xmin FROM (`+by+`) r ORDER BY oid)
		FROM pg_publication_tables t JOIN pg_publication p USING (pubname)
		JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		WHERE t.pubname = ANY($1) AND c.oid = ANY($3) ORDER BY p.pubname`, s.publications(), s.opt.Publication, s.oids())
	if err != nil {
		return p, s.fault("read the publications", err)
	}
	var oid uint32
	var c coverage
	_, err = pgx.ForEachRow(rows, []any{&name, &oid, &c.insert, &c.update, &c.delete, &c.truncate, &c.partial, &c.main, &c.appended, &c.rows}, func() error {
		t, was := s.tableOf(oid), p.tables[oid]
		p.holds[name] = append(p.holds[name], t)
		if c.whole = nil; c.enough(t) {
			c.whole = c.rows
		}
		p.tables[oid] = coverage{was.insert || c.insert, was.update || c.update, was.delete || c.delete, was.truncate || c.truncate,
			was.partial || c.partial, was.main || c.main, was.appended || c.appended, append(was.rows, c.rows...), append(was.whole, c.whole...)}
		return nil
	})
	return p, s.fault("read the publications", err)
}

// oids are those of the tables.
func (s *Source) oids() []uint32 {
	oids := make([]uint32, len(s.tables))
	for i, t := range s.tables {
		oids[i] = t.oid
	}
	return oids
}

func (s *Source) publications() []string {
	return []string{s.opt.Publication, s.opt.Publication + appendSuffix}
}

// appendOnly tells whether updates and deletes of the table cannot be published.
func (t *table) appendOnly() bool { return len(t.identified()) == 0 }

func (c coverage) enough(t *table) bool {
	return c.insert && c.truncate && !c.partial && (t.appendOnly() || c.update && c.delete)
}

// outgrown tells whether the table got its replica identity after it was put into the publication without updates.
func (c coverage) outgrown(t *table) bool {
	return c.appended && !c.main && !t.appendOnly() && !c.enough(t)
}

// outgrown returns the tables that have to move, as they are called in a sync.
func (s *Source) outgrown(p published) (entities []string) {
	for _, t := range s.tables {
		if p.tables[t.oid].outgrown(t) {
			entities = append(entities, s.opt.Name+"/"+t.entity.Name)
		}
	}
	return entities
}

// statements are what makes the publications cover every table. At no moment between them is a table in neither, so that none
// of its inserts is lost. A stream cannot bring what is older than a publication that it names: so the two are made together,
// before the slot, even where one has no table yet; behind that, only what a table needs.
func (s *Source) statements(p published) []string {
	var missing [2][]string // by publication: with and without updates
	var outgrown []string
	for _, t := range s.tables {
		c, ok := p.tables[t.oid]
		name := t.sqlName() // without ONLY, tables that inherit from it would be published too, and they need no replica identity
		switch {
		case c.outgrown(t):
			missing[0], outgrown = append(missing[0], name), append(outgrown, name)
		case ok:
		case t.appendOnly():
			missing[1] = append(missing[1], name)
		default:
			missing[0] = append(missing[0], name)
		}
	}
	if len(missing[0])+len(missing[1]) == 0 {
		return nil
	}
	neither := !p.exists[s.opt.Publication] && !p.exists[s.opt.Publication+appendSuffix]
	options := [2]string{"publish_via_partition_root = true", "publish = 'insert, truncate', publish_via_partition_root = true"}
	var list []string
	for i, name := range s.publications() {
		switch tables := strings.Join(missing[i], ", "); {
		case p.exists[name] && tables != "":
			list = append(list, "ALTER PUBLICATION "+quote(name)+" ADD TABLE "+tables)
		case !p.exists[name] && tables != "":
			list = append(list, "CREATE PUBLICATION "+quote(name)+" FOR TABLE "+tables+" WITH ("+options[i]+")")
		case neither:
			list = append(list, "CREATE PUBLICATION "+quote(name)+" WITH ("+options[i]+")")
		}
	}
	if len(outgrown) > 0 {
		list = append(list, "ALTER PUBLICATION "+quote(s.opt.Publication+appendSuffix)+" DROP TABLE "+strings.Join(outgrown, ", "))
	}
	return list
}

// ensurePublications makes sure that every table is published, and sets the names to read.
func (s *Source) ensurePublications(ctx context.Context) error {
	p, err := s.readPublications(ctx)
	if err != nil {
		return err
	}
	_, err = s.cover(ctx, p)
	return err
}

// cover does what is missing in the publications as they were found, and returns them as they are then.
func (s *Source) cover(ctx context.Context, p published) (published, error) {
	for _, t := range s.tables {
		leaf, err := s.publishedByLeaf(ctx, t)
		if err != nil {
			return p, err
		}
		if leaf {
			return p, syncline.Errorf(syncline.Fatal, "publication_by_partition", "source %s: publication %s publishes the partitions of %s, not the table", s.opt.Name, s.opt.Publication, t).
				WithFix("ALTER PUBLICATION %s SET (publish_via_partition_root = true);", quote(s.opt.Publication))
		}
		if err := s.incomplete(p, t); err != nil {
			return p, err
		}
	}
	is := p
	if list := s.statements(p); len(list) > 0 {
		if !s.opt.Manage {
			return p, s.unpublished(p, list)
		}
		if err := s.mayPublish(ctx, p, list); err != nil {
			return p, err
		}
		if err := s.publish(ctx, p, list); err != nil {
			return p, err
		}
		var err error
		if is, err = s.readPublications(ctx); err != nil {
			return p, err
		}
	}
	for _, t := range s.tables {
		c, ok := p.tables[t.oid]
		if !ok || c.outgrown(t) { // the statements were about it
			c = is.tables[t.oid]
		}
		t.published = c.ways()
	}
	s.names = slices.DeleteFunc(s.publications(), func(name string) bool { return !is.exists[name] })
	return is, nil
}

// postpone leaves out publications that are younger than what the slot may still have to send: the server would look them up as they were then, and
// fail. Their tables join once it can read through them (lookAtTables), which is when all transactions are over that were running then. One that a table
// was captured through is not left out: it was only altered.
func (s *Source) postpone(ctx context.Context, p published) error {
	captured := func(t *table) bool { return s.state.Tables[t.entity.Name] == t.oid } // also one that is to be read anew
	fresh := slices.DeleteFunc(slices.Clone(s.names), func(name string) bool { return slices.ContainsFunc(p.holds[name], captured) })
	young, err := s.tooYoung(ctx, fresh)
	if err != nil || len(young) == 0 || len(young) == len(s.names) { // a stream without any cannot be
		return err
	}
	s.young = young
	s.names = slices.DeleteFunc(s.names, func(name string) bool { return slices.Contains(young, name) })
	for _, name := range young {
		for _, t := range p.holds[name] {
			t.early = true
			s.log.Info("table is captured once the slot is beyond what is older than its publication", "entity", t.entity.Name, "publication", name)
		}
	}
	return nil
}

// tooYoung returns those of the publications that the slot may still need the catalog without.
func (s *Source) tooYoung(ctx context.Context, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	rows, err := s.sql.Query(ctx, `SELECT pubname::text FROM pg_publication WHERE pubname = ANY($1)
		AND age(xmin) BETWEEN 0 AND (SELECT age(catalog_xmin) FROM pg_replication_slots WHERE slot_name = $2)`, names, s.opt.Slot)
	if err != nil {
		return nil, s.fault("read the age of the publications", err)
	}
	young, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return young, s.fault("read the age of the publications", err)
}

// incomplete is the error of a table that is published in part, where no statement of ours would help.
func (s *Source) incomplete(p published, t *table) error {
	c, ok := p.tables[t.oid]
	if !ok || c.enough(t) || c.outgrown(t) {
		return nil
	}
	name := s.opt.Publication
	if !c.main {
		name += appendSuffix
	}
	return syncline.Errorf(syncline.Fatal, "publication_incomplete",
		"source %s: publication %s does not publish every insert, update, delete and truncate of %s with all columns", s.opt.Name, name, t).
		WithFix("remove its column list, row filter or publish option")
}

// unpublished is the error of tables that the statements would publish, which manage does not allow.
func (s *Source) unpublished(p published, list []string) error {
	fix := strings.Join(list, "; ") + ";"
	if entities := s.outgrown(p); len(entities) > 0 {
		return syncline.Errorf(syncline.Fatal, "publication_incomplete",
			"source %s: publication %s has no updates and deletes of tables that have a replica identity now, and manage is off; after the statements, sync %s: what was missed is not in the log",
			s.opt.Name, s.opt.Publication+appendSuffix, strings.Join(entities, ", ")).WithFix("%s", fix)
	}
	code := "publication_incomplete"
	if !p.exists[s.opt.Publication] {
		code = "publication_missing"
	}
	return syncline.Errorf(syncline.Fatal, code, "source %s: publication %s does not cover every table of the configuration, and manage is off", s.opt.Name, s.opt.Publication).
		WithFix("%s", s.thenResume(fix))
}

// mayPublish refuses statements that our role may not run. Somebody else may: publications that are there are used as they are.
func (s *Source) mayPublish(ctx context.Context, p published, list []string) error {
	var add []uint32
	for _, t := range s.tables {
		if c, ok := p.tables[t.oid]; !ok || c.outgrown(t) {
			add = append(add, t.oid)
		}
	}
	creates := slices.ContainsFunc(list, func(sql string) bool { return strings.HasPrefix(sql, "CREATE ") })
	var may bool
	err := s.sql.QueryRow(ctx, `SELECT (NOT $1 OR has_database_privilege(current_database(), 'CREATE'))
		AND NOT EXISTS (SELECT FROM pg_class WHERE oid = ANY($2) AND NOT pg_has_role(relowner, 'USAGE'))
		AND NOT EXISTS (SELECT FROM pg_publication WHERE pubname = ANY($3) AND NOT pg_has_role(pubowner, 'USAGE'))`, creates, add, s.publications()).Scan(&may)
	if err != nil {
		return s.fault("read the rights on the tables", err)
	}
	if !may {
		return syncline.Errorf(syncline.Fatal, "privilege_missing", "source %s: role %s may not publish the tables: that takes their ownership, and CREATE on the database",
			s.opt.Name, s.config.User).WithFix("as their owner, or as a superuser: %s", s.thenResume(strings.Join(list, "; ")+";"))
	}
	return nil
}

// publish runs the statements, all or none.
func (s *Source) publish(ctx context.Context, p published, list []string) error {
	err := pgx.BeginFunc(ctx, s.sql, func(tx pgx.Tx) error {
		for _, sql := range list {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return s.fault("publish the tables ("+sql+")", err)
			}
		}
		return nil
	})
	if err != nil {
		return s.fault("publish the tables", err)
	}
	for _, sql := range list {
		s.log.Info("publication changed", "statement", sql)
	}
	for _, name := range s.outgrown(p) {
		s.log.Warn("table has a replica identity now: its updates and deletes are captured from here on, those before were missed", "entity", name, "fix", "syncline sync "+name)
	}
	return nil
}

// publishedByLeaf tells whether a publication that has the partitioned table names its partitions instead.
func (s *Source) publishedByLeaf(ctx context.Context, t *table) (leaf bool, err error) {
	if !t.partitioned {
		return false, nil
	}
	err = s.sql.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_publication p
		WHERE p.pubname = ANY($1) AND NOT p.pubviaroot AND (p.puballtables OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = $2)))`,
		s.publications(), t.oid).Scan(&leaf)
	return leaf, s.fault("read the publications", err)
}
