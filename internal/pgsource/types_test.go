package pgsource

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// typeCases are columns of every kind of type: the type, constants for it, and what the constants become.
var typeCases = []struct {
	typ    string
	kind   syncline.Kind
	elem   syncline.Kind
	in     []string
	values []string
}{
	{"boolean", syncline.KindBool, 0, []string{"true", "false"}, []string{"true", "false"}},
	{"smallint", syncline.KindInt, 0, []string{"-32768"}, []string{"-32768"}},
	{"integer", syncline.KindInt, 0, []string{"7"}, []string{"7"}},
	{"bigint", syncline.KindInt, 0, []string{"9223372036854775807"}, []string{"9223372036854775807"}},
	{"oid", syncline.KindInt, 0, []string{"4294967295"}, []string{"4294967295"}},
	{"real", syncline.KindFloat, 0, []string{"0.1", "1e20", "'NaN'"}, []string{"0.1", "1e+20", "NaN"}},
	{"double precision", syncline.KindFloat, 0, []string{"0.1", "12345678", "'-infinity'", "1e-9"}, []string{"0.1", "1.2345678e+07", "-Infinity", "1e-09"}},
	{"numeric", syncline.KindDecimal, 0, []string{"1.50", "'NaN'", "123456789012345678901234567890.123"}, []string{"1.50", "NaN", "123456789012345678901234567890.123"}},
	{"numeric(12,2)", syncline.KindDecimal, 0, []string{"1.5"}, []string{"1.50"}},
	{"text", syncline.KindText, 0, []string{"''", `E'tab\there \\ 名'`}, []string{"", "tab\there \\ 名"}},
	{"character varying(40)", syncline.KindText, 0, []string{"'a'"}, []string{"a"}},
	{"character(4)", syncline.KindText, 0, []string{"'a'"}, []string{"a   "}},
	{`"char"`, syncline.KindText, 0, []string{"'x'"}, []string{"x"}},
	{"name", syncline.KindText, 0, []string{"'n'"}, []string{"n"}},
	{"bytea", syncline.KindBytes, 0, []string{`'\x00ff5c27'`, "''"}, []string{"\x00\xff\\'", ""}},
	{"date", syncline.KindDate, 0, []string{"'2026-03-04'", "'infinity'", "'0044-03-15 BC'", "'12026-01-01'"}, []string{"2026-03-04", "infinity", "0044-03-15 BC", "12026-01-01"}},
	{"time without time zone", syncline.KindTime, 0, []string{"'24:00'", "'01:02:03.4'"}, []string{"24:00:00", "01:02:03.4"}},
	{"time with time zone", syncline.KindRaw, 0, []string{"'01:02:03+05'"}, []string{"01:02:03+05"}},
	{"timestamp without time zone", syncline.KindTimestamp, 0, []string{"'2026-03-04 05:06:07.89'", "'-infinity'"}, []string{"2026-03-04 05:06:07.89", "-infinity"}},
	{"timestamp(0) with time zone", syncline.KindTimestampTZ, 0, []string{"'2026-03-04 05:06:07+08'", "'0001-01-01 00:00:00+00 BC'"},
		[]string{"2026-03-03 21:06:07+00", "0001-01-01 00:00:00+00 BC"}},
	{"interval", syncline.KindRaw, 0, []string{"'1 day 2 hours'"}, []string{"1 day 02:00:00"}},
	{"uuid", syncline.KindUUID, 0, []string{"'5F0C1C9A3B644A559F392F6A3C8F2F10'"}, []string{"5f0c1c9a-3b64-4a55-9f39-2f6a3c8f2f10"}},
	{"json", syncline.KindJSON, 0, []string{`'{"b": 1,  "a": [1.0]}'`}, []string{`{"b": 1,  "a": [1.0]}`}},
	{"jsonb", syncline.KindJSON, 0, []string{`'{"b": 1,  "a": [1.0]}'`}, []string{`{"a": [1.0], "b": 1}`}},
	{"inet", syncline.KindRaw, 0, []string{"'10.0.0.1/8'"}, []string{"10.0.0.1/8"}},
	{"bit(3)", syncline.KindRaw, 0, []string{"'101'"}, []string{"101"}},
	{"point", syncline.KindRaw, 0, []string{"'(1,2)'"}, []string{"(1,2)"}},
	{"int4range", syncline.KindRaw, 0, []string{"'[1,5]'"}, []string{"[1,6)"}},
	{"tsvector", syncline.KindRaw, 0, []string{"'a b'"}, []string{"'a' 'b'"}},
	{"xml", syncline.KindRaw, 0, []string{"'<a/>'"}, []string{"<a/>"}},
	{"integer[]", syncline.KindArray, syncline.KindInt, []string{"'{1,NULL,3}'", "'{}'"}, []string{"{1,NULL,3}", "{}"}},
	{"character varying(4)[]", syncline.KindArray, syncline.KindText, []string{`ARRAY['a,b','"']`}, []string{`{"a,b","\""}`}},
	{"inet[]", syncline.KindArray, syncline.KindRaw, []string{"'{10.0.0.1}'"}, []string{"{10.0.0.1}"}},
	{"box[]", syncline.KindRaw, 0, []string{"'{(1,1),(0,0);(3,3),(2,2)}'"}, []string{"{(1,1),(0,0);(3,3),(2,2)}"}},
	{"mood", syncline.KindText, 0, []string{"'glad'"}, []string{"glad"}},
	{"mood[]", syncline.KindArray, syncline.KindText, []string{"'{glad,sad}'"}, []string{"{glad,sad}"}},
	{"price", syncline.KindDecimal, 0, []string{"9.90"}, []string{"9.90"}},
	{"price[]", syncline.KindArray, syncline.KindDecimal, []string{"'{9.90}'"}, []string{"{9.90}"}},
	{"tags", syncline.KindArray, syncline.KindText, []string{"'{a}'"}, []string{"{a}"}},
	{"pair", syncline.KindRaw, 0, []string{"'(1,x)'"}, []string{"(1,x)"}},
}

// TestTypes copies a row for each constant, and captures the same rows as inserts: both give the same values of the right kind,
// under one schema.
func TestTypes(t *testing.T) {
	d := newDB(t, "CREATE TYPE mood AS ENUM ('glad', 'sad')", "CREATE DOMAIN price AS numeric(10,2) CHECK (VALUE >= 0)", "CREATE DOMAIN tags AS text[]",
		"CREATE TYPE pair AS (a int, b text)")
	var columns, inserts []string
	for i, c := range typeCases {
		columns = append(columns, fmt.Sprintf("c%d %s", i, c.typ))
		for _, in := range append(c.in, "NULL") {
			inserts = append(inserts, fmt.Sprintf("INSERT INTO t (c%d) VALUES (%s)", i, in))
		}
	}
	d.exec("CREATE TABLE t (id serial PRIMARY KEY, " + strings.Join(columns, ", ") + ")")
	for _, sql := range inserts {
		d.exec(sql)
	}
	p := record(t, d.options("t"))
	p.copied()
	for _, sql := range inserts {
		d.exec(sql)
	}
	streamed := p.events(len(inserts))
	var copied []*syncline.Event
	for _, b := range p.log {
		if b.Chunk != nil {
			for i := range b.Events {
				copied = append(copied, &b.Events[i])
			}
		}
	}
	if len(copied) != len(inserts) || len(streamed) != len(inserts) {
		t.Fatalf("%d rows copied, %d streamed, want %d", len(copied), len(streamed), len(inserts))
	}
	for _, e := range []*syncline.Event{copied[0], streamed[0]} {
		for i, c := range typeCases {
			col := e.Schema.Columns[i+1]
			if col.Kind != c.kind || col.Elem != c.elem || col.Type != c.typ {
				t.Errorf("%s: column is %s of %s, type %s, want %s of %s", c.typ, col.Kind, col.Elem, col.Type, c.kind, c.elem)
			}
		}
	}
	if a, b := copied[0].Schema.Fingerprint(), streamed[0].Schema.Fingerprint(); a != b {
		t.Errorf("schemas differ:\n%s", cmp.Diff(copied[0].Schema, streamed[0].Schema))
	}
	n := 0
	for i, c := range typeCases {
		for _, want := range append(c.values, "null") {
			for what, e := range map[string]*syncline.Event{"copied": copied[n], "streamed": streamed[n]} {
				v := e.After[i+1]
				if want == "null" && v.IsNull() {
					continue
				}
				if v.Kind() != c.kind || string(v.Bytes()) != want {
					t.Errorf("%s %s is %s, want %s(%s)", what, c.typ, v, c.kind, want)
				}
			}
			n++
		}
	}
}

// TestSessionSettings sets every default that renders values otherwise.
func TestSessionSettings(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, day date, ratio float8, bytes bytea, span interval)",
		"INSERT INTO t VALUES (1, '2026-03-04 05:06:07+00', '2026-03-04', 1.0/3, 'ab', '1 mon 2 days')")
	for _, set := range []string{"TimeZone = 'Asia/Shanghai'", "DateStyle = 'German'", "extra_float_digits = 0", "bytea_output = 'escape'", "IntervalStyle = 'iso_8601'"} {
		d.exec("ALTER DATABASE " + d.text("SELECT current_database()") + " SET " + set)
	}
	p := record(t, d.options("t"))
	p.copied()
	d.exec("UPDATE t SET id = 2")
	e := p.events(1)[0]
	for _, b := range p.log {
		if b.Chunk != nil && len(b.Events) == 1 {
			if diff := cmp.Diff(fmt.Sprint(b.Events[0].After[1:]), fmt.Sprint(e.After[1:])); diff != "" {
				t.Errorf("copied and streamed differ:\n%s", diff)
			}
		}
	}
	want := "[timestamptz(2026-03-04 05:06:07+00) date(2026-03-04) float(0.3333333333333333) bytes(6162) raw(1 mon 2 days)]"
	if got := fmt.Sprint(e.After[1:]); got != want {
		t.Errorf("row = %s, want %s", got, want)
	}
}

func TestTextThatIsNotUTF8(t *testing.T) {
	name := newDB(t).text("SELECT current_database()") + "_ascii"
	admin := newDB(t)
	admin.exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
	d := &db{t: t, url: server.URL(name)}
	d.conn = d.connect()
	t.Cleanup(func() {
		hangUp(d.conn)
		dropDatabase(admin, name)
	})
	d.exec("CREATE TABLE t (id int PRIMARY KEY, v text)")
	d.exec(`INSERT INTO t VALUES (1, E'caf\351'), (2, E'caf\303\251')`)
	p := record(t, d.options("t"))
	t.Cleanup(p.close)
	p.copied()
	d.exec("UPDATE t SET id = id + 10")
	for what, got := range map[string][]*syncline.Event{"streamed": p.events(2), "copied": {&p.log[2].Events[0], &p.log[2].Events[1]}} {
		if v := got[0].After[1]; v.Kind() != syncline.KindRaw || v.Text() != "caf\xe9" {
			t.Errorf("%s: text that is not UTF-8 is %s, want the same bytes as raw", what, v)
		}
		if v := got[1].After[1]; v.Kind() != syncline.KindText || v.Text() != "café" {
			t.Errorf("%s: text is %s", what, v)
		}
	}
}

// dropDatabase drops a database whose slots may still be in use.
func dropDatabase(admin *db, name string) {
	admin.exec(`DO $$ DECLARE n text; BEGIN
		PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + name + `';
		WHILE EXISTS (SELECT FROM pg_replication_slots WHERE database = '` + name + `' AND active) LOOP PERFORM pg_sleep(0.01); END LOOP;
		FOR n IN SELECT slot_name FROM pg_replication_slots WHERE database = '` + name + `' LOOP PERFORM pg_drop_replication_slot(n); END LOOP;
	END $$`)
	admin.exec("DROP DATABASE " + name + " WITH (FORCE)")
}

// TestGeneratedColumns: the column is in the schema with its expression, and never has a value.
func TestGeneratedColumns(t *testing.T) {
	d := newDB(t, "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, v text)", "INSERT INTO t VALUES (1, DEFAULT, 'a')")
	p := record(t, d.options("t"))
	p.copied()
	d.exec("INSERT INTO t VALUES (2, DEFAULT, 'b')")
	for _, e := range []*syncline.Event{&p.log[2].Events[0], p.events(1)[0]} {
		if c := e.Schema.Columns[1]; c.Name != "twice" || c.Generated != "(id * 2)" {
			t.Errorf("column = %+v, want the generated one", c)
		}
		if !e.After[1].IsUnset() || e.After[2].IsUnset() {
			t.Errorf("row = %v, want only the generated column unset", e.After)
		}
	}
	if p.log[2].Events[0].Schema.Fingerprint() != p.events(1)[0].Schema.Fingerprint() {
		t.Error("copied and streamed rows have different schemas")
	}
}
