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
// only.
const appendSuffix = "_append"

// published is what the server publishes of our tables under our publications' names.
type published struct {
	exists map[string]bool // by publication
	// tables are by oid.
	tables map[uint32]coverage
}

type coverage struct {
	insert, update, delete, truncate bool
	// partial: a column list or a row filter.
	partial bool
}

func (s *Source) readPublications(ctx context.Context) (published, error) {
	p := published{exists: map[string]bool{}, tables: map[uint32]coverage{}}
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
	partial := "false"
	if s.version >= 150000 {
		partial = `t.rowfilter IS NOT NULL OR cardinality(t.attnames) < (SELECT count(*) FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')`
	}
	rows, err = s.sql.Query(ctx, `SELECT c.oid, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, `+partial+`
		FROM pg_publication_tables t JOIN pg_publication p USING (pubname)
		JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		WHERE t.pubname = ANY($1)`, s.publications())
	if err != nil {
		return p, s.fault("read the publications", err)
	}
	var oid uint32
	var c coverage
	_, err = pgx.ForEachRow(rows, []any{&oid, &c.insert, &c.update, &c.delete, &c.truncate, &c.partial}, func() error {
		was := p.tables[oid]
		p.tables[oid] = coverage{was.insert || c.insert, was.update || c.update, was.delete || c.delete, was.truncate || c.truncate, was.partial || c.partial}
		return nil
	})
	return p, s.fault("read the publications", err)
}

func (s *Source) publications() []string {
	return []string{s.opt.Publication, s.opt.Publication + appendSuffix}
}

// appendOnly tells whether updates and deletes of the table cannot be published.
func (t *table) appendOnly() bool { return len(t.identified()) == 0 }

func (c coverage) enough(t *table) bool {
	return c.insert && c.truncate && !c.partial && (t.appendOnly() || c.update && c.delete)
}

// statements are what makes the publications cover every table.
func (s *Source) statements(p published) []string {
	var missing [2][]string // by publication: with and without updates
	for _, t := range s.tables {
		if _, ok := p.tables[t.oid]; !ok {
			i := 0
			if t.appendOnly() {
				i = 1
			}
			missing[i] = append(missing[i], quote(t.schema, t.name))
		}
	}
	options := [2]string{"publish_via_partition_root = true", "publish = 'insert, truncate', publish_via_partition_root = true"}
	var list []string
	for i, name := range s.publications() {
		switch tables := strings.Join(missing[i], ", "); {
		case len(missing[i]) == 0:
		case p.exists[name]:
			list = append(list, "ALTER PUBLICATION "+quote(name)+" ADD TABLE "+tables)
		default:
			list = append(list, "CREATE PUBLICATION "+quote(name)+" FOR TABLE "+tables+" WITH ("+options[i]+")")
		}
	}
	return list
}

// ensurePublications makes sure that every table is published, and sets the names to read.
func (s *Source) ensurePublications(ctx context.Context) error {
	p, err := s.readPublications(ctx)
	if err != nil {
		return err
	}
	for _, t := range s.tables {
		leaf, err := s.publishedByLeaf(ctx, t)
		if err != nil {
			return err
		}
		if leaf {
			return syncline.Errorf(syncline.Fatal, "publication_by_partition", "source %s: publication %s publishes the partitions of %s, not the table", s.opt.Name, s.opt.Publication, t).
				WithFix("ALTER PUBLICATION %s SET (publish_via_partition_root = true);", quote(s.opt.Publication))
		}
		if c, ok := p.tables[t.oid]; ok && !c.enough(t) {
			return syncline.Errorf(syncline.Fatal, "publication_incomplete",
				"source %s: publication %s does not publish every insert, update, delete and truncate of %s with all columns", s.opt.Name, s.opt.Publication, t).
				WithFix("remove its column list, row filter or publish option")
		}
	}
	if list := s.statements(p); len(list) > 0 {
		if !s.opt.Manage {
			code := "publication_incomplete"
			if !p.exists[s.opt.Publication] {
				code = "publication_missing"
			}
			return syncline.Errorf(syncline.Fatal, code, "source %s: publication %s does not cover every table of the configuration, and manage is off", s.opt.Name, s.opt.Publication).
				WithFix("%s;", strings.Join(list, "; "))
		}
		for _, sql := range list {
			if _, err := s.sql.Exec(ctx, sql); err != nil {
				return s.fault("publish the tables ("+sql+")", err)
			}
			s.log.Info("publication changed", "statement", sql)
		}
		if p, err = s.readPublications(ctx); err != nil {
			return err
		}
	}
	s.names = slices.DeleteFunc(s.publications(), func(name string) bool { return !p.exists[name] })
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
