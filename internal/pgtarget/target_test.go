package pgtarget

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func TestRefusedDataIsRejectedWithoutItsValue(t *testing.T) {
	r := newRig(t, Options{}, `CREATE DOMAIN short AS varchar(3)`,
		`CREATE TABLE parent (id int PRIMARY KEY)`,
		`CREATE TABLE a (id int PRIMARY KEY, n int, v varchar(5), s short, b bit(3), u int UNIQUE, c int CHECK (c > 0), nn text NOT NULL DEFAULT '',
			p int REFERENCES parent, d date, num numeric(4,2), vs varchar(3)[])`,
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.n = 666 THEN RAISE EXCEPTION ''secret 666''; END IF;
			IF NEW.n = 667 THEN RAISE EXCEPTION ''limit of % exceeded'', NEW.n USING ERRCODE = ''CR001'', COLUMN = ''secret''; END IF;
			IF NEW.n = 668 THEN RAISE lock_not_available USING MESSAGE = ''secret''; END IF; RETURN NEW; END'`,
		`CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON a FOR EACH ROW EXECUTE FUNCTION refuse()`)
	for _, c := range []struct{ column, value, code string }{
		{"n", "secret", "value_invalid"},
		{"n", "99999999999", "value_out_of_range"},
		{"n", "666", "trigger_refused"},
		{"n", "667", "trigger_refused"},
		{"n", "668", "trigger_refused"},
		{"v", "secret", "value_too_long"},
		{"s", "secret", "value_too_long"},
		{"vs", "{a,secret}", "value_too_long"},
		{"b", "10101", "value_refused"},
		{"u", "7", "unique_violation"},
		{"c", "-5", "check_violation"},
		{"nn", "", "null_refused"},
		{"p", "44", "dependency"},
		{"d", "2024-02-30", "value_out_of_range"},
		{"num", "100.5", "value_out_of_range"},
		{"v", "a\x00secret", "text_invalid"},
		{"v", "\xffsecret", "text_invalid"},
	} {
		s := cols(1, "id", c.column)
		taken := cols(1, "id", "u")
		r.must(true, syncline.Change{Op: syncline.ChangeTruncate, Object: "a"}, put("a", taken, "-1", "7"))
		for _, n := range []int{1, defaultCopyMin} {
			var changes []syncline.Change
			for i := range n - 1 {
				changes = append(changes, put("a", cols(1, "id"), fmt.Sprint(i+10)))
				changes[i].Row = texts(s, fmt.Sprint(i+10), map[string]string{"nn": "x"}[c.column])
			}
			changes = append(changes, put("a", s, "5", c.value))
			err := r.apply(false, changes...)
			wantError(t, err, syncline.Rejected, c.code)
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), "secret") || strings.Contains(e.Error(), "66") {
					t.Errorf("%s = %q: the message holds the value", c.column, e)
				}
			}
			var se *syncline.Error
			if n == 1 && errors.As(err, &se) && se.Change != 0 {
				t.Errorf("%s: culprit = %d, want 0", c.column, se.Change)
			}
		}
		ok := put("a", taken, "6", "")
		err := r.apply(true, ok, put("a", s, "5", c.value))
		wantError(t, err, syncline.Rejected, c.code)
		if se := (*syncline.Error)(nil); errors.As(err, &se) && se.Change != 1 {
			t.Errorf("%s ordered: culprit = %d, want 1", c.column, se.Change)
		}
		r.rows("SELECT id, u FROM a", "(-1,7)")
	}
}

// TestAFunctionThatFails is told of without what it ran, and without what a value was taken for; what our own statement lacks is named.
func TestAFunctionThatFails(t *testing.T) {
	r := newRig(t, Options{}, `CREATE TABLE a (id int PRIMARY KEY, n text, t regclass)`,
		`CREATE FUNCTION run() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.n IS NOT NULL THEN EXECUTE NEW.n; END IF; RETURN NEW; END'`,
		`CREATE TRIGGER run BEFORE INSERT OR UPDATE ON a FOR EACH ROW EXECUTE FUNCTION run()`)
	for _, c := range []struct{ column, value, code string }{
		{"n", "SELECT secret", "column_missing"},
		{"n", "SELECT 1 FROM secret", "object_missing"},
		{"n", "SELECT secret()", "statement_refused"},
		{"n", "SET ROLE secret", "value_refused"},
		{"n", "SELECT 1 FROM secret.a", "object_missing"},
		{"n", "secret", "statement_refused"},
		{"t", "secret", "object_missing"},
	} {
		for _, n := range []int{1, defaultCopyMin} {
			var changes []syncline.Change
			for i := range n - 1 {
				changes = append(changes, put("a", cols(1, "id"), fmt.Sprint(i+10)))
			}
			err := r.apply(false, append(changes, put("a", cols(1, "id", c.column), "5", c.value))...)
			if syncline.CodeOf(err) != c.code || !strings.Contains(err.Error(), "SQLSTATE") || c.code != "value_refused" && syncline.FixOf(err) == "" {
				t.Errorf("%s = %q of %d: %v, want %s with a way out", c.column, c.value, n, err, c.code)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), "secret") {
					t.Errorf("%s = %q of %d: %q: the message holds the value", c.column, c.value, n, e)
				}
			}
		}
	}
	execute(t, r.c, "ALTER TABLE a DROP COLUMN t")
	if err := r.apply(false, put("a", cols(1, "id", "t"), "5", "a")); err == nil || !strings.Contains(err.Error(), `"t"`) {
		t.Errorf("a column that is not there: %v, want that it is named", err)
	}
}

// A cast to varchar(5) would cut, one to numeric(4,2) would not complain where the column does: both ways must do as COPY.
func TestBothWaysStoreTheSame(t *testing.T) {
	types := map[string]string{
		"numeric(6,2)": "1234.5", "varchar(5)": "abc", "char(5)": "ab", "bit(3)": "101", "varbit": "10101", "smallint": "-3",
		"integer[]": "{1,NULL,3}", "text[]": `{"a,b","c\"d",NULL}`, "jsonb": `{"a": [1, 2]}`, "json": `{"a":  1, "a": 2}`,
		"inet": "10.0.0.1/8", "cidr": "10.0.0.0/8", "macaddr": "08:00:2b:01:02:03", "interval": "1 year 2 mons -3 days 04:05:06.7",
		"point": "(1.5,2)", "box": "(3,4),(1,2)", "int4range": "[1,5)", "tsvector": "'a':1 'b':2", "xml": "<a>b</a>", "bytea": `\x00ff`,
		"timetz": "12:00:00+02", "oid": "4294967295", "real": "0.1", "pg_lsn": "0/16B3748", "name": "n", `"char"`: "c", "money": "$12.50",
		"date": "0044-03-15 BC", "timestamp(3)": "2024-01-01 00:00:00.123", "timestamptz": "infinity", "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
		"regclass": "pg_class", "double precision": "-Infinity", "bigint": "-9223372036854775808", "boolean": "true", "mood": "sad", "posint": "4", "comp": "(1,x)",
	}
	ddl := "CREATE TABLE a (id int PRIMARY KEY"
	s := cols(1, "id")
	row := []string{"1"}
	i := 0
	for typ, v := range types {
		ddl += fmt.Sprintf(", c%d %s", i, typ)
		s.Columns = append(s.Columns, syncline.Column{Name: fmt.Sprintf("c%d", i), Kind: syncline.KindText, Nullable: true})
		row = append(row, v)
		i++
	}
	r := newRig(t, Options{}, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE DOMAIN posint AS int CHECK (VALUE > 0)", "CREATE TYPE comp AS (a int, b text)", ddl+")",
		"CREATE TABLE b (LIKE a INCLUDING ALL)", "CREATE TABLE h (LIKE a)")
	many := make([]syncline.Change, 0, defaultCopyMin)
	for i := range defaultCopyMin {
		row[0] = fmt.Sprint(i)
		many = append(many, put("b", s, row...))
	}
	row[0] = "7"
	r.must(false, put("a", s, row...))
	r.must(false, many...)
	heap := cols(0)
	heap.Columns = s.Columns
	r.must(false, syncline.Change{Op: syncline.ChangeInsert, Object: "h", Row: texts(heap, row...)})
	r.rows("SELECT (SELECT a::text FROM a) = (SELECT b::text FROM b WHERE id = 7) AND (SELECT a::text FROM a) = (SELECT h::text FROM h)", "(t)")
	for i, c := range s.Columns[1:] {
		r.rows(fmt.Sprintf("SELECT pg_typeof(%s), %s::text = (%s::%s)::text FROM a", c.Name, c.Name, literal(row[i+1]), r.typeOf(c.Name)),
			fmt.Sprintf("(%s,t)", r.quotedTypeOf(c.Name)))
	}
	// A row of every type is found again by its own values, and only once.
	change := syncline.Change{Op: syncline.ChangeDelete, Object: "h", Row: texts(heap, row...), Before: texts(heap, row...).Values}
	r.must(true, change)
	wantError(t, r.apply(true, change), syncline.Rejected, "row_not_found")
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (r *rig) typeOf(column string) (typ string) {
	r.t.Helper()
	err := r.c.QueryRow(context.Background(), "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'a'::regclass AND attname = $1", column).Scan(&typ)
	if err != nil {
		r.t.Fatal(err)
	}
	return typ
}

// quotedTypeOf is the name of the type as it stands in a row's text.
func (r *rig) quotedTypeOf(column string) (typ string) {
	r.t.Helper()
	err := r.c.QueryRow(context.Background(), "SELECT trim(both '()' from row(a.atttypid::regtype)::text) FROM pg_attribute a WHERE attrelid = 'a'::regclass AND attname = $1", column).Scan(&typ)
	if err != nil {
		r.t.Fatal(err)
	}
	return typ
}

func TestKeysThatOnlyLookDifferent(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id numeric PRIMARY KEY, v text)")
	s := cols(1, "id", "v")
	r.must(false, put("a", s, "1", "one"))
	move := put("a", s, "1.0", "-")
	move.OldKey = []syncline.Value{syncline.Text("1")}
	r.must(true, move)
	r.rows("SELECT v FROM a", "(one)")
	for _, n := range []int{0, defaultCopyMin} {
		changes := []syncline.Change{put("a", s, "2", "x"), put("a", s, "2.0", "y")}
		for i := range n {
			changes = append(changes, put("a", s, fmt.Sprint(i+10), "z"))
		}
		wantError(t, r.apply(false, changes...), syncline.Rejected, "key_collision")
	}
	r.must(true, put("a", s, "2", "x"), put("a", s, "2.0", "y"))
	r.rows("SELECT v FROM a WHERE id = 2", "(y)")
	wantError(t, r.apply(false, put("a", s, "", "x")), syncline.Rejected, "key_null")
}

func TestUniqueValuesMayPassBetweenRecords(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, u text UNIQUE)",
		"CREATE TABLE b (id int PRIMARY KEY, u text UNIQUE DEFERRABLE)",
		"CREATE TABLE p (id int PRIMARY KEY)", "CREATE TABLE k (id int PRIMARY KEY, p int REFERENCES p)")
	s := cols(1, "id", "u")
	r.must(false, put("a", s, "1", "x"), put("a", s, "2", "y"), put("b", s, "1", "x"), put("b", s, "2", "y"))
	r.must(false, put("a", s, "3", "x"), del("a", s, "1", "-"))
	r.rows("SELECT * FROM a ORDER BY id", "(2,y)", "(3,x)")
	wantError(t, r.apply(false, put("a", s, "2", "x"), put("a", s, "3", "y")), syncline.Rejected, "unique_violation")
	r.must(true, put("a", s, "2", "tmp"), put("a", s, "3", "y"), put("a", s, "2", "x"))
	r.rows("SELECT * FROM a ORDER BY id", "(2,x)", "(3,y)")
	// A constraint that can wait is checked before Commit is called, and not in between.
	r.must(false, put("b", s, "1", "y"), put("b", s, "2", "x"))
	r.must(true, put("b", s, "1", "x"), put("b", s, "2", "y"))
	r.rows("SELECT * FROM b ORDER BY id", "(1,x)", "(2,y)")
	r.must(true, put("b", s, "1", "y"), put("b", s, "2", "x"))
	w := r.write(false, put("b", s, "1", "x"))
	w.Commit = func(context.Context, syncline.Result) error {
		t.Error("Commit was called for a refused write")
		return nil
	}
	_, err := r.tgt.Apply(t.Context(), w)
	wantError(t, err, syncline.Rejected, "unique_violation")
	r.rows("SELECT * FROM b ORDER BY id", "(1,y)", "(2,x)")
	// Parents before children, children's deletes before their parents'.
	kid := cols(1, "id", "p")
	parent := cols(1, "id")
	r.must(false, put("p", parent, "1"), put("k", kid, "1", "1"))
	r.must(false, del("p", parent, "1"), del("k", kid, "1", "-"), put("p", parent, "2"), put("k", kid, "2", "2"))
	r.rows("SELECT * FROM k", "(2,2)")
	r.must(true, syncline.Change{Op: syncline.ChangeTruncate, Object: "k"}, syncline.Change{Op: syncline.ChangeTruncate, Object: "p"})
	r.rows("SELECT count(*) FROM p", "(0)")
	// A TRUNCATE of both names them in any order.
	r.must(false, put("p", parent, "3"), put("k", kid, "3", "3"))
	r.must(true, syncline.Change{Op: syncline.ChangeTruncate, Object: "p"}, syncline.Change{Op: syncline.ChangeTruncate, Object: "k"}, put("p", parent, "4"))
	r.rows("SELECT id FROM p UNION ALL SELECT id FROM k", "(4)")
}

func TestLostConnectionAsksForTheCursor(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text)")
	s := cols(1, "id", "v")
	kill := func() { execute(t, r.c, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", r.tgt.s.pg.PID())) }
	seq := r.cur.Seq
	w := r.write(false, put("a", s, "1", "x"))
	w.Commit = func(context.Context, syncline.Result) error { kill(); return nil }
	_, err := r.tgt.Apply(t.Context(), w)
	wantError(t, err, syncline.Transient, "commit_unknown")
	_, err = r.tgt.Apply(t.Context(), w)
	wantError(t, err, syncline.Transient, "connection_lost")
	if err := r.tgt.Scan(t.Context(), "a", s, func(syncline.Row) error { return nil }); err != nil {
		t.Errorf("Scan after a lost connection: %v", err)
	}
	_, err = r.tgt.Apply(t.Context(), w)
	wantError(t, err, syncline.Transient, "connection_lost")
	r.own()
	if r.cur.Seq != seq {
		t.Errorf("cursor = %d, want %d", r.cur.Seq, seq)
	}
	r.must(false, put("a", s, "1", "x"))
	kill()
	wantTransient := r.apply(false, put("a", s, "2", "x"))
	if wantTransient == nil || syncline.ClassOf(wantTransient) != syncline.Transient {
		t.Errorf("Apply on a dead connection = %v, want transient", wantTransient)
	}
	r.own()
	r.must(false, put("a", s, "2", "x"))
	r.rows("SELECT count(*) FROM a", "(2)")
}

func TestOpenSaysWhyItCannot(t *testing.T) {
	url := server.Database(t)
	for _, c := range []struct {
		url   string
		class syncline.Class
		code  string
	}{
		{strings.Replace(url, "postgres@", "nobody_here:sesame@", 1), syncline.Transient, "refused"},
		{url[:strings.LastIndex(url, "/")] + "/no_such_db?sslmode=disable", syncline.Transient, "database_missing"},
		{"postgres://u:sesame@127.0.0.1:1/x?sslmode=disable", syncline.Transient, "connection_lost"},
		{"postgres://u:sesame@host:port/x", syncline.Fatal, "url_invalid"},
	} {
		_, err := Open(t.Context(), Options{URL: c.url})
		wantError(t, err, c.class, c.code)
		if err != nil && strings.Contains(err.Error(), "sesame") {
			t.Errorf("Open = %q: the message holds the password", err)
		}
	}
}

func TestRightsThatAreMissing(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text)", "CREATE SCHEMA shut", "CREATE ROLE guest LOGIN", "GRANT USAGE ON SCHEMA shut, public TO guest")
	t.Cleanup(func() { execute(t, r.c, "DROP OWNED BY guest", "DROP ROLE guest") })
	guest := open(t, Options{URL: strings.Replace(r.tgt.o.URL, "postgres@", "guest@", 1) + "&search_path=shut", Route: "r"})
	err := guest.Place(t.Context(), syncline.Cursor{Log: "l", Seq: 1}, "s")
	wantError(t, err, syncline.Fatal, "permission_denied")
	var se *syncline.Error
	if errors.As(err, &se) && !strings.Contains(se.Fix, `CREATE TABLE IF NOT EXISTS "shut"."_syncline_cursor"`) {
		t.Errorf("Fix = %q, want the statement", se.Fix)
	}
	check := func(want ...string) {
		t.Helper()
		var got []string
		for _, f := range guest.Check(t.Context()) {
			got = append(got, f.Level+" "+f.Code)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Check (-want +got):\n%s", diff)
		}
	}
	check("ok ", "fail permission_denied") // no cursor table
	execute(t, r.c, "DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$")
	check("ok ", "fail permission_denied", "fail permission_denied")
	_, err = guest.Define(t.Context(), syncline.Definition{Object: "shut.x", Schema: cols(1, "id"), Create: true})
	wantError(t, err, syncline.Fatal, "permission_denied")
	if f := r.tgt.Check(t.Context()); len(f) != 1 || f[0].Level != "ok" {
		t.Errorf("Check = %+v, want one ok", f)
	}
	readOnly := open(t, Options{URL: r.tgt.o.URL + "&default_transaction_read_only=on", Route: "r"})
	wantError(t, readOnly.Place(t.Context(), syncline.Cursor{Log: "l"}, "s"), syncline.Transient, "read_only")
}

func TestManyMasksDoNotFillTheServer(t *testing.T) {
	s := cols(1, "id")
	ddl := "CREATE TABLE a (id int PRIMARY KEY"
	for i := range 10 {
		s.Columns = append(s.Columns, syncline.Column{Name: fmt.Sprintf("c%d", i), Kind: syncline.KindText, Nullable: true})
		ddl += fmt.Sprintf(", c%d text", i)
	}
	r := newRig(t, Options{}, ddl+")")
	whole := append([]string{"1"}, strings.Split("abcdefghij", "")...)
	r.must(false, put("a", s, whole...))
	for mask := range maxPrepared + 50 {
		row := append([]string(nil), whole...)
		for i := range 10 {
			if mask&(1<<i) == 0 {
				row[i+1] = "-"
			}
		}
		r.must(false, put("a", s, row...))
	}
	var n int
	if err := r.tgt.s.conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_prepared_statements").Scan(&n); err != nil || n > maxPrepared+5 {
		t.Errorf("prepared statements = %d, %v, want at most %d", n, err, maxPrepared)
	}
	r.rows("SELECT * FROM a", "(1,a,b,c,d,e,f,g,h,i,j)")
}

func TestLargeRowsAreCopied(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text, w text)")
	s := cols(1, "id", "v", "w")
	big := strings.Repeat("0123456789abcdef", 1<<16)
	var puts, updates []syncline.Change
	for i := range 40 {
		puts = append(puts, put("a", s, fmt.Sprint(i), big, ""))
		updates = append(updates, put("a", s, fmt.Sprint(i), "-", big))
	}
	for _, changes := range [][]syncline.Change{puts, updates} {
		x := &transaction{t: r.tgt, s: r.tgt.s, w: r.write(false, changes...)}
		groups, err := x.group(t.Context())
		if err != nil || len(groups) != 1 || groups[0].way == wayArrays {
			t.Fatalf("40 MB in %d groups, %v, want one that is copied", len(groups), err)
		}
		r.must(false, changes...)
	}
	r.must(true, updates[:8]...)
	r.rows("SELECT count(*), sum(length(v)), sum(length(w)) FROM a", fmt.Sprintf("(40,%d,%d)", 40<<20, 40<<20))
}

func TestScanStopsAtTheCallersError(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a AS SELECT i AS id FROM generate_series(1, 5000) i")
	stop := errors.New("enough")
	n := 0
	if err := r.tgt.Scan(t.Context(), "a", cols(0, "id"), func(syncline.Row) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("Scan = %v after %d rows, want the caller's error after one", err, n)
	}
	n = 0
	if err := r.tgt.Scan(t.Context(), "a", cols(0, "id"), func(syncline.Row) error { n++; return nil }); err != nil || n != 5000 {
		t.Errorf("Scan = %v after %d rows, want 5000", err, n)
	}
}

func TestMalformedWritesAreFatal(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY)")
	s := cols(1, "id")
	rekey := put("a", s, "1")
	rekey.OldKey = []syncline.Value{syncline.Text("2")}
	for _, c := range []syncline.Change{rekey, {Op: syncline.ChangeSend, Object: "a", Row: texts(s, "1")}, {Op: syncline.ChangeTruncate, Object: "a"},
		{Op: syncline.ChangeInsert, Object: "a", Row: texts(s, "1")}} {
		wantError(t, r.apply(false, c), syncline.Fatal, "write_malformed")
	}
	r.must(false, put("a", s, "1"))
}

// TestRowsThatAPolicyHidesAreNotTakenForGone: a delete of a row that the target's user may not see would remove nothing and succeed.
func TestRowsThatAPolicyHidesAreNotTakenForGone(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text)", "INSERT INTO a VALUES (1, 'seen'), (2, 'hidden')", "CREATE ROLE tenant LOGIN",
		"GRANT CREATE, USAGE ON SCHEMA public TO tenant", "GRANT SELECT, INSERT, UPDATE, DELETE ON a TO tenant", "ALTER TABLE a ENABLE ROW LEVEL SECURITY",
		"CREATE POLICY p ON a USING (id = 1)")
	t.Cleanup(func() { execute(t, r.c, "DROP OWNED BY tenant", "DROP ROLE tenant") })
	execute(t, r.c, "DROP TABLE _syncline_cursor")
	r.tgt = open(t, Options{URL: strings.Replace(r.tgt.o.URL, "postgres@", "tenant@", 1), Route: "r"})
	if err := r.tgt.Place(t.Context(), syncline.Cursor{Log: "l", Seq: 1, Epoch: 1}, "s"); err != nil {
		t.Fatal(err)
	}
	r.own()
	gone := put("a", cols(1, "id", "v"), "2", "")
	gone.Op = syncline.ChangeDelete
	wantError(t, r.apply(false, gone), syncline.Fatal, "permission_denied")
	r.rows("SELECT count(*) FROM a", "(2)")
}

// TestValuesDoNotDependOnSettingsOfTheDatabase: a null in an array would become the text NULL.
func TestValuesDoNotDependOnSettingsOfTheDatabase(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE a (id int PRIMARY KEY, v text[])", "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET array_nulls = off', current_database()); END $$")
	r.tgt = open(t, Options{URL: r.tgt.o.URL, Route: "r"})
	r.own()
	r.must(false, put("a", cols(1, "id", "v"), "1", "{a,NULL}"))
	r.rows("SELECT v[2] IS NULL FROM a", "(t)")
}
