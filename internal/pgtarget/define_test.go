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

const shapeSQL = `SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attgenerated
	FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE a.attrelid = 'made'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

func col(name, typ string, kind syncline.Kind, nullable bool) syncline.Column {
	return syncline.Column{Name: name, Type: typ, Kind: kind, Nullable: nullable}
}

func keyed(columns ...syncline.Column) *syncline.Schema {
	return &syncline.Schema{Entity: "e", Version: -1, Key: []int{0}, Columns: columns}
}

func TestCreateFromPostgres(t *testing.T) {
	r := newRig(t, Options{PostgresSource: true}, "CREATE TYPE known AS ENUM ('a')")
	s := keyed(
		col("id", "bigint", syncline.KindInt, false),
		col("price", "numeric(12,2)", syncline.KindDecimal, true),
		col("name", "character varying(40)", syncline.KindText, false),
		col("tags", "character varying(5)[]", syncline.KindArray, true),
		col("k", "known", syncline.KindRaw, true),
		col("m", "public.unknown", syncline.KindRaw, true),
		col("ms", "unknown_elem[]", syncline.KindArray, true),
		col("twice", "numeric", syncline.KindDecimal, true),
	)
	s.Columns[7].Generated = "(price * (2)::numeric)"
	d, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "made", Schema: s, Create: true, Policy: syncline.SchemaEvolve})
	if err != nil || len(d.Warnings) != 2 {
		t.Fatalf("Define = %+v, %v, want two warnings", d, err)
	}
	r.rows(shapeSQL, `(id,bigint,t,"","")`, `(price,"numeric(12,2)",f,"","")`, `(name,"character varying(40)",t,"","")`,
		`(tags,"character varying(5)[]",f,"","")`, `(k,known,f,"","")`, `(m,text,f,"","")`, `(ms,text[],f,"","")`, `(twice,numeric,f,"(price * (2)::numeric)",s)`)
	row := texts(s, "1", "2.50", "n", "{x}", "a", "odd", "{p,q}", "-")
	r.must(false, syncline.Change{Op: syncline.ChangePut, Object: "made", Row: row})
	row.Values[7] = syncline.Text("99")
	r.must(false, syncline.Change{Op: syncline.ChangePut, Object: "made", Row: row})
	r.rows("SELECT * FROM made", "(1,2.50,n,{x},a,odd,\"{p,q}\",5.00)")
}

func TestCreateFromElsewhere(t *testing.T) {
	r := newRig(t, Options{Guard: true})
	s := keyed(
		col("id", "INTEGER", syncline.KindInt, false),
		col("real", "REAL", syncline.KindFloat, true),
		col("when", "DATETIME", syncline.KindText, true),
		col("u", "", syncline.KindUint, true),
		col("list", "", syncline.KindArray, true),
		col("raw", "thing", syncline.KindRaw, true),
	)
	s.Columns[4].Elem = syncline.KindInt
	if d, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "made", Schema: s, Create: true}); err != nil || len(d.Warnings) > 0 {
		t.Fatalf("Define = %+v, %v", d, err)
	}
	r.rows(shapeSQL, `(id,bigint,t,"","")`, `(real,"double precision",f,"","")`, `(when,text,f,"","")`, `(u,"numeric(20,0)",f,"","")`,
		`(list,bigint[],f,"","")`, `(raw,text,f,"","")`, `(_syncline_seq,bigint,f,"","")`)
}

func TestEvolveFollowsTheSource(t *testing.T) {
	r := newRig(t, Options{PostgresSource: true})
	was := keyed(
		col("id", "integer", syncline.KindInt, false),
		col("v", "character varying(10)", syncline.KindText, false),
		col("n", "integer", syncline.KindInt, true),
		col("gone", "text", syncline.KindText, false),
	)
	def := func(s, previous *syncline.Schema, reread bool) {
		t.Helper()
		asked := false
		d, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "made", Schema: s, Previous: previous, Create: true, Policy: syncline.SchemaEvolve,
			Reread: func(context.Context) error { asked = true; return nil }})
		if err != nil || asked != reread || len(d.Warnings) > 0 {
			t.Fatalf("Define = %+v, %v, reread %v, want %v and no warnings", d, err, asked, reread)
		}
	}
	def(was, nil, false)
	r.must(false, put("made", was, "1", "a", "5", "g"))
	now := keyed(
		col("id", "bigint", syncline.KindInt, false),
		col("v", "character varying(20)", syncline.KindText, true),
		col("n", "numeric(12,2)", syncline.KindDecimal, true),
		col("added", "integer", syncline.KindInt, false),
		col("state", "text", syncline.KindText, false),
		col("twice", "bigint", syncline.KindInt, true),
	)
	now.Columns[4].Default = "'new'::text"
	now.Columns[5].Generated = "(id * 2)"
	def(now, was, true)
	r.rows(shapeSQL, `(id,bigint,t,"","")`, `(v,"character varying(20)",f,"","")`, `(n,"numeric(12,2)",f,"","")`, `(gone,text,f,"","")`,
		`(added,integer,f,"","")`, `(state,text,t,"","")`, `(twice,bigint,f,"(id * 2)",s)`)
	r.must(false, put("made", now, "5000000000", "a long enough text", "5.25", "7", "s", "-"))
	r.rows("SELECT * FROM made ORDER BY id", "(1,a,5.00,g,,new,2)", `(5000000000,"a long enough text",5.25,,7,s,10000000000)`)
	def(now, now, false)
	narrow := keyed(now.Columns...)
	narrow.Columns = append([]syncline.Column(nil), now.Columns...)
	narrow.Columns[2] = col("n", "integer", syncline.KindInt, true)
	_, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "made", Schema: narrow, Previous: now, Create: true, Policy: syncline.SchemaEvolve})
	wantError(t, err, syncline.Fatal, "schema_retyped")
}

// Whoever has lost its state knows no schema that came before. What the source has dropped since, or made nullable, must not refuse records for
// ever; but what somebody else wants to be there is not touched.
func TestEvolveWithoutAPast(t *testing.T) {
	for _, made := range []string{"", "CREATE TABLE made (id bigint PRIMARY KEY, v text NOT NULL, theirs text NOT NULL)"} {
		r := newRig(t, Options{PostgresSource: true})
		must := 2 // columns that stay NOT NULL: id, kept; and v, which somebody else has made
		if made != "" {
			execute(t, r.c, made, "ALTER TABLE made ALTER theirs SET DEFAULT 'd'")
			must = 4
		}
		def := func(s *syncline.Schema) syncline.Defined {
			t.Helper()
			d, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "made", Schema: s, Create: true, Policy: syncline.SchemaEvolve})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		id, kept := col("id", "bigint", syncline.KindInt, false), col("kept", "text", syncline.KindText, false)
		gone, loose := col("gone", "text", syncline.KindText, false), col("loose", "text", syncline.KindText, false)
		kept.Default, gone.Default, loose.Default = "'k'::text", "'g'::text", "'l'::text"
		def(keyed(id, col("v", "text", syncline.KindText, made == ""), kept, gone, loose))

		loose.Nullable = true
		now := keyed(id, col("v", "text", syncline.KindText, true), kept, loose)
		if d := def(now); len(d.Warnings) > 0 {
			t.Errorf("warnings: %v", d.Warnings)
		}
		r.must(false, put("made", now, "1", "v", "k", ""))
		r.rows("SELECT count(*) FROM pg_attribute WHERE attrelid = 'made'::regclass AND attnum > 0 AND attnotnull", fmt.Sprintf("(%d)", must))
		if made == "" {
			continue
		}
		execute(t, r.c, "ALTER TABLE made ALTER theirs DROP DEFAULT")
		if d := def(now); len(d.Warnings) != 1 {
			t.Errorf("warnings: %v, want one that inserts will be refused", d.Warnings)
		}
		wantError(t, r.apply(false, put("made", now, "2", "v", "k", "")), syncline.Rejected, "null_refused")
	}
}

// What a type that exists only at the source says of its default is text here, as its values are.
func TestDefaultOfATypeThatIsNotKnown(t *testing.T) {
	r := newRig(t, Options{PostgresSource: true}, "CREATE TYPE known AS ENUM ('a')")
	was := keyed(col("id", "bigint", syncline.KindInt, false))
	if _, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "made", Schema: was, Create: true, Policy: syncline.SchemaEvolve}); err != nil {
		t.Fatal(err)
	}
	r.must(false, put("made", was, "1"))
	now := keyed(was.Columns[0], col("k", "known", syncline.KindRaw, false), col("m", "mood", syncline.KindRaw, false),
		col("ms", "public.mood[]", syncline.KindArray, false), col("none", "mood", syncline.KindRaw, true))
	now.Columns[1].Default, now.Columns[2].Default = "'a'::known", "'it''s'::mood"
	now.Columns[3].Default, now.Columns[4].Default = "'{happy}'::public.mood[]", "NULL"
	_, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "made", Schema: now, Previous: was, Create: true, Policy: syncline.SchemaEvolve,
		Reread: func(context.Context) error { t.Error("the records are read again"); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	r.rows("SELECT * FROM made", "(1,a,it's,{happy},)")
}

// A constant of another system is taken over where it means the same here, as a literal of the column's type; else the records are read.
func TestDefaultFromElsewhere(t *testing.T) {
	r := newRig(t, Options{})
	was := keyed(col("id", "INTEGER", syncline.KindInt, false))
	if _, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "made", Schema: was, Create: true, Policy: syncline.SchemaEvolve}); err != nil {
		t.Fatal(err)
	}
	r.must(false, put("made", was, "1"))
	for _, tt := range []struct {
		def  string
		kind syncline.Kind
		want string // "" = the records are read
	}{
		{"0", syncline.KindBool, "false"},
		{"1", syncline.KindBool, "true"},
		{"TRUE", syncline.KindBool, "true"},
		{"2", syncline.KindBool, ""},
		{"'1'", syncline.KindBool, ""},
		{"-7", syncline.KindInt, "-7"},
		{"'7'", syncline.KindInt, ""},
		{"99999999999999999999", syncline.KindInt, ""},
		{"1.5", syncline.KindFloat, "1.5"},
		{"1.50", syncline.KindDecimal, "1.50"},
		{"'it''s'", syncline.KindText, "it's"},
		{"5", syncline.KindText, ""},
		{`'a\b'`, syncline.KindText, ""},
		{"0", syncline.KindTimestamp, ""},
		{"''", syncline.KindTimestamp, ""},
		{"'x'", syncline.KindJSON, ""},
		{"'x'", syncline.KindBytes, ""},
	} {
		c := col("added", "DECLARED", tt.kind, false)
		c.Default = tt.def
		asked := false
		_, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "made", Schema: keyed(was.Columns[0], c), Previous: was, Create: true,
			Policy: syncline.SchemaEvolve, Reread: func(context.Context) error { asked = true; return nil }})
		if err != nil || asked != (tt.want == "") {
			t.Errorf("%s of %s: Define = %v, reread %v", tt.def, tt.kind, err, asked)
			continue
		}
		var got string
		if err := r.c.QueryRow(t.Context(), "SELECT coalesce(added::text, '') FROM made").Scan(&got); err != nil || got != tt.want {
			t.Errorf("%s of %s fills in %q, %v, want %q", tt.def, tt.kind, got, err, tt.want)
		}
		execute(t, r.c, "ALTER TABLE made DROP added")
	}
}

func TestTablesThatDoNotFit(t *testing.T) {
	r := newRig(t, Options{Guard: true}, "CREATE TABLE nokey (id int, v text)", "CREATE TABLE late (id int UNIQUE DEFERRABLE)",
		"CREATE UNIQUE INDEX ON nokey (id) WHERE v IS NULL", "CREATE TABLE noguard (id int PRIMARY KEY)", "CREATE VIEW view AS SELECT 1 AS id",
		"CREATE TABLE other (x int PRIMARY KEY)")
	s := cols(1, "id")
	for object, want := range map[string]struct{ code, fix string }{
		"nokey":    {"key_index_missing", `CREATE UNIQUE INDEX ON "public"."nokey" ("id")`},
		"late":     {"key_index_missing", "CREATE UNIQUE INDEX"},
		"noguard":  {"guard_missing", `ALTER TABLE "public"."noguard" ADD COLUMN _syncline_seq bigint`},
		"view":     {"object_unsupported", ""},
		"other":    {"column_missing", ""},
		"none":     {"object_missing", ""},
		"a.b.c":    {"identifier_invalid", ""},
		"no.where": {"object_missing", ""},
	} {
		_, err := r.tgt.Define(t.Context(), syncline.Definition{Object: object, Schema: s, Policy: syncline.SchemaIgnore})
		wantError(t, err, syncline.Fatal, want.code)
		var se *syncline.Error
		if errors.As(err, &se) && !strings.Contains(se.Fix, want.fix) {
			t.Errorf("%s: Fix = %q, want %q", object, se.Fix, want.fix)
		}
		wantError(t, r.apply(false, put(object, s, "1")), syncline.Fatal, want.code)
	}
	_, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "nowhere.x", Schema: s, Create: true})
	wantError(t, err, syncline.Fatal, "schema_missing")
	if _, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "noguard", Schema: s, Policy: syncline.SchemaEvolve}); err != nil {
		t.Errorf("Define with evolve makes the guard: %v", err)
	}
}

func TestExistingTablesOfTheirOwnKind(t *testing.T) {
	r := newRig(t, Options{PostgresSource: true},
		`CREATE TABLE "Order lines" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text, must text NOT NULL DEFAULT 'd')`,
		`CREATE TABLE parts (id int, region text, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region)`,
		`CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a')`, `CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b')`,
		`CREATE TABLE heap (region text, v text) PARTITION BY LIST (region)`,
		`CREATE TABLE heap_a PARTITION OF heap FOR VALUES IN ('a')`, `CREATE TABLE heap_b PARTITION OF heap FOR VALUES IN ('b')`,
		`CREATE TABLE strict (id int PRIMARY KEY, must text NOT NULL)`)
	s := cols(1, "id", "note")
	object := `public."Order lines"`
	r.must(false, put(object, s, "41", "a"))
	r.must(false, put(object, s, "41", "b"), put(object, s, "42", "c"))
	r.must(false, put(object, s, "42", "-"))
	r.rows(`SELECT * FROM "Order lines" ORDER BY id`, "(41,b,d)", "(42,c,d)")

	p := cols(2, "id", "region", "v")
	move := put("parts", p, "1", "b", "-")
	move.OldKey = []syncline.Value{syncline.Text("1"), syncline.Text("a")}
	r.must(false, put("parts", p, "1", "a", "x"), put("parts", p, "2", "a", "y"))
	r.must(true, move, del("parts", p, "2", "a", "-"))
	r.rows("SELECT * FROM parts", "(1,b,x)")

	h := cols(0, "region", "v")
	insert := func(v ...string) syncline.Change {
		return syncline.Change{Op: syncline.ChangeInsert, Object: "heap", Row: texts(h, v...)}
	}
	r.must(false, insert("a", "x"), insert("b", "x"))
	r.must(true, syncline.Change{Op: syncline.ChangeReplace, Object: "heap", Row: texts(h, "b", "y"), Before: texts(h, "a", "x").Values})
	r.rows("SELECT * FROM heap ORDER BY v", "(b,x)", "(b,y)")

	d, err := r.tgt.Define(t.Context(), syncline.Definition{Object: "STRICT", Schema: cols(1, "id", "extra"), Policy: syncline.SchemaIgnore})
	if err != nil || len(d.Warnings) != 2 {
		t.Errorf("Define = %+v, %v, want a warning for extra and one for must", d, err)
	}
}

func TestGuardedTruncateLeavesWhatIsNewer(t *testing.T) {
	r := newRig(t, Options{Guard: true}, "CREATE TABLE a (id int PRIMARY KEY, _syncline_seq bigint)", "INSERT INTO a VALUES (9, NULL)")
	s := cols(1, "id")
	later := put("a", s, "1")
	later.Order = syncline.Order{Epoch: 1, Seq: 1000}
	r.must(false, later, put("a", s, "2"))
	r.must(true, syncline.Change{Op: syncline.ChangeTruncate, Object: "a", Order: syncline.Order{Epoch: 1, Seq: 500}})
	r.rows("SELECT id FROM a ORDER BY id", "(1)") // 9 was there before the guard

	// A record that is newer than a key change stays where it is, at either end.
	move := put("a", s, "5")
	move.OldKey = []syncline.Value{syncline.Text("1")}
	move.Order = syncline.Order{Epoch: 1, Seq: 600}
	r.must(true, move)
	r.rows("SELECT id FROM a ORDER BY id", "(1)", "(5)")
	move.Row, move.OldKey = texts(s, "1"), []syncline.Value{syncline.Text("5")}
	res, err := r.tgt.Apply(t.Context(), r.write(true, move))
	if diff := cmp.Diff([]syncline.Outcome{syncline.OutcomeStale}, res.Outcomes); err != nil || diff != "" {
		t.Errorf("Apply: %v, outcomes (-want +got):\n%s", err, diff)
	}
	r.rows("SELECT id FROM a ORDER BY id", "(1)")
}
