package main

import (
	"context"
	"fmt"
)

// makeTables makes the source's tables, and in the warehouse those whose constraints and triggers take part in the checks; the rules make
// the others.
func (w *world) makeTables(ctx context.Context) error {
	const (
		reg = `CREATE TABLE reg (k int PRIMARY KEY, ver bigint NOT NULL, val text NOT NULL, tier text NOT NULL,
			code text UNIQUE, large bigint NOT NULL, sum text NOT NULL, big text NOT NULL)`
		// trail has no key. Each transaction writes one row of it, which tells whether it was committed.
		trail = `CREATE TABLE trail (tx bigint NOT NULL, note text)`
		out   = `ALTER TABLE reg ALTER big SET STORAGE EXTERNAL`
	)
	deal := `CREATE TABLE deal (k bigint PRIMARY KEY, ver bigint NOT NULL, val text NOT NULL)`
	line := `CREATE TABLE line (id int NOT NULL, no int NOT NULL, ver bigint NOT NULL, val text NOT NULL` + kindColumns(true) + `, PRIMARY KEY (id, no))`
	if err := w.src.exec(ctx, reg, out, line, trail, deal); err != nil {
		return err
	}
	if w.plan.Shape.FullIdentity {
		if err := w.src.exec(ctx, `ALTER TABLE line REPLICA IDENTITY FULL`); err != nil {
			return err
		}
	}
	if err := w.dst.exec(ctx, reg, out, line, deal, `CREATE TABLE sale (k bigint PRIMARY KEY, ver bigint NOT NULL, val text NOT NULL)`, `ALTER TABLE reg ADD CONSTRAINT no_bad CHECK (val NOT LIKE 'bad:%')`,
		// seen has the newest version of each key that any transaction of the warehouse has left behind, wrong what must not be.
		`CREATE TABLE seen (entity text, key text, ver bigint NOT NULL, PRIMARY KEY (entity, key))`,
		`CREATE TABLE left_behind (entity text, key text, ver bigint, no bigserial, PRIMARY KEY (entity, key, ver))`,
		`CREATE TABLE wrong (at timestamptz DEFAULT clock_timestamp(), entity text, key text, what text, torn bool DEFAULT false)`); err != nil {
		return err
	}
	for _, t := range []struct{ entity, key, where, torn, older string }{
		{"reg", `NEW.k::text`, `k = NEW.k`, `md5(r.big) IS DISTINCT FROM r.sum`, `last > r.ver`},
		{"line", `NEW.id::text || ',' || NEW.no::text`, `id = NEW.id AND no = NEW.no`, `false`, `last > r.ver`},
		{"sale", `NEW.k::text`, `k = NEW.k`, `false`, `last > r.ver`},
		{"deal", `NEW.k::text`, `k = NEW.k`, `false`, `false`}, // by time, or by who said it
	} {
		if err := w.dst.exec(ctx, fmt.Sprintf(auditor, t.entity, t.key, t.where, t.torn, w.plan.Seed, t.older),
			fmt.Sprintf(`CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_%[1]s()`, t.entity),
			fmt.Sprintf(`ALTER TABLE %s ENABLE ALWAYS TRIGGER audit`, t.entity)); err != nil {
			return err
		}
	}
	return nil
}

// auditor looks, when a transaction commits, at each record that it leaves behind: so not even a state that lasts for a moment is missed,
// whereas what a transaction does on its way, such as taking a row to another key, is its own affair.
const auditor = `CREATE FUNCTION audit_%[1]s() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE r record; last bigint; name text := %[2]s;
BEGIN
	SELECT * INTO r FROM %[1]s WHERE %[3]s;
	IF NOT FOUND THEN RETURN NULL; END IF;
	IF r.val IS DISTINCT FROM md5(format('%[5]d:%[1]s:%%s:%%s', name, r.ver)) THEN
		INSERT INTO wrong (entity, key, what) VALUES ('%[1]s', name, 'version ' || r.ver || ' has the value of another record or version');
	END IF;
	IF %[4]s THEN
		INSERT INTO wrong (entity, key, what, torn) VALUES ('%[1]s', name, 'version ' || r.ver || ' is torn: its large value is not that of its sum', true);
	END IF;
	SELECT ver INTO last FROM seen WHERE entity = '%[1]s' AND key = name;
	IF %[6]s THEN
		INSERT INTO wrong (entity, key, what) VALUES ('%[1]s', name, 'version ' || r.ver || ' came after ' || last);
	ELSE
		INSERT INTO seen VALUES ('%[1]s', name, r.ver) ON CONFLICT (entity, key) DO UPDATE SET ver = EXCLUDED.ver;
	END IF;
	INSERT INTO left_behind VALUES ('%[1]s', name, r.ver) ON CONFLICT DO NOTHING;
	RETURN NULL;
END $$`
