package pgtarget

import (
	"strings"
	"testing"

	"syncline"
)

// TestValuesOfOtherKinds: what the server would take for something else is refused, what it holds or refuses by itself is sent.
func TestValuesOfOtherKinds(t *testing.T) {
	t.Parallel()
	raw := func(k syncline.Kind, s string) syncline.Value { return syncline.Raw(k, []byte(s)) }
	for _, test := range []struct {
		typ   string
		kind  syncline.Kind
		value syncline.Value
		code  string
	}{
		{"date", syncline.KindDate, syncline.Text("now"), "kind_mismatch"},
		{"date", syncline.KindDate, syncline.Text("1/2/2003"), "kind_mismatch"},
		{"date", syncline.KindDate, syncline.Int(20240101), "kind_mismatch"},
		{"date", syncline.KindText, syncline.Text("2024-01-02"), ""},
		{"date", syncline.KindText, syncline.Text("ToDay"), "value_invalid"},
		{"timestamp with time zone", syncline.KindText, syncline.Text("tomorrow 10:00"), "value_invalid"},
		{"text", syncline.KindText, syncline.Text("now"), ""},
		{"text", syncline.KindDate, syncline.Text("now"), ""},
		{"timestamp without time zone", syncline.KindTimestamp, raw(syncline.KindTimestampTZ, "2024-01-01 00:00:00+00"), ""},
		{"time without time zone", syncline.KindTime, syncline.Text("12:00:00+02"), "kind_mismatch"},
		{"boolean", syncline.KindBool, syncline.Text("yes"), "kind_mismatch"},
		{"boolean", syncline.KindBool, syncline.Int(1), "kind_mismatch"},
		{"double precision", syncline.KindFloat, syncline.Text("inf"), "kind_mismatch"},
		{"double precision", syncline.KindFloat, syncline.Int(1 << 53), ""},
		{"double precision", syncline.KindFloat, syncline.Int(1<<53 + 1), "kind_mismatch"},
		{"bigint", syncline.KindInt, syncline.Float(1.5), ""}, // the server refuses it
		{"bytea", syncline.KindBytes, syncline.Text(`\x41`), "kind_mismatch"},
		{"text", syncline.KindText, syncline.Bytes([]byte{0xff}), "kind_mismatch"},
		{"text", syncline.KindText, syncline.Int(7), ""},
		{"uuid", syncline.KindUUID, syncline.Text("{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"), "kind_mismatch"},
		{"jsonb", syncline.KindJSON, syncline.Text(`"x"`), "kind_mismatch"},
		{"jsonb", syncline.KindJSON, syncline.Int(5), ""},
		{"jsonb", syncline.KindJSON, syncline.Null, ""},
	} {
		s := &syncline.Schema{Columns: []syncline.Column{{Name: "c", Kind: test.kind}}}
		b := &binding{cols: []boundColumn{{name: "c", cast: test.typ, family: families[test.typ]}}}
		c := &syncline.Change{Object: "o", Row: syncline.Row{Schema: s, Values: []syncline.Value{test.value}}}
		err := b.check(0, c)
		if test.code == "" && err != nil || test.code != "" && (syncline.CodeOf(err) != test.code || syncline.ClassOf(err) != syncline.Rejected) {
			t.Errorf("%s in a column of %s of type %s: %v, want %q", test.value, test.kind, test.typ, err, test.code)
		}
		if b.exact = true; b.check(0, c) != nil {
			t.Errorf("%s is refused of a source with the target's own types", test.value)
		}
	}
}

// TestStrayValuesAreRefusedByEveryWrite: what a group of rows is refused for is not taken when they are tried one by one, in the order of the log.
func TestStrayValuesAreRefusedByEveryWrite(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE keyed (id int PRIMARY KEY, day date)", "CREATE TABLE heap (id int, day date)", "INSERT INTO heap VALUES (1, '2026-01-01')")
	keyed := &syncline.Schema{Entity: "e", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}, {Name: "day", Kind: syncline.KindDate, Nullable: true}}}
	heap := &syncline.Schema{Entity: "e", Version: -1, Columns: keyed.Columns}
	stray := []syncline.Value{syncline.Int(1), syncline.Text("now")}
	before := []syncline.Value{syncline.Int(1), syncline.Raw(syncline.KindDate, []byte("2026-01-01"))}
	for _, ordered := range []bool{false, true} {
		changes := []syncline.Change{{Op: syncline.ChangePut, Object: "keyed", Row: syncline.Row{Schema: keyed, Values: stray}},
			{Op: syncline.ChangeInsert, Object: "heap", Row: syncline.Row{Schema: heap, Values: stray}}}
		if ordered {
			changes = append(changes, syncline.Change{Op: syncline.ChangeReplace, Object: "heap", Row: syncline.Row{Schema: heap, Values: stray}, Before: before})
		}
		for _, c := range changes {
			wantError(t, r.apply(ordered, c), syncline.Rejected, "kind_mismatch")
		}
	}
	r.rows("SELECT * FROM heap UNION ALL SELECT * FROM keyed", "(1,2026-01-01)")
}

// TestARowThatWasNeverWrittenIsNotLookedFor: of a keyless object, where the server would find another one in its place.
func TestARowThatWasNeverWrittenIsNotLookedFor(t *testing.T) {
	r := newRig(t, Options{}, "CREATE TABLE heap (id int, day date, price real)", "INSERT INTO heap VALUES (1, '2026-01-01', 0.1)")
	s := &syncline.Schema{Entity: "e", Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}, {Name: "day", Kind: syncline.KindTimestamp, Nullable: true},
		{Name: "price", Kind: syncline.KindDecimal, Nullable: true}}}
	row := func(day syncline.Value, price string) []syncline.Value {
		return []syncline.Value{syncline.Int(1), day, syncline.Raw(syncline.KindDecimal, []byte(price))}
	}
	at := func(text string) syncline.Value { return syncline.Raw(syncline.KindTimestamp, []byte(text)) }
	for name, old := range map[string][]syncline.Value{
		"a number that is a day to the server": row(syncline.Int(20260101), "0.1"),
		"a text that is":                       row(syncline.Text("1/1/2026"), "0.1"),
		"a time that would be cut off":         row(at("2026-01-01 10:00:00"), "0.1"),
		"a number that would be rounded":       row(at("2026-01-01 00:00:00"), "0.100000001"),
	} {
		for _, c := range []syncline.Change{
			{Op: syncline.ChangeDelete, Object: "heap", Row: syncline.Row{Schema: s, Values: old}, Before: old},
			{Op: syncline.ChangeReplace, Object: "heap", Row: syncline.Row{Schema: s, Values: row(syncline.Null, "7")}, Before: old},
		} {
			err := r.apply(true, c)
			if wantError(t, err, syncline.Rejected, "row_not_found"); t.Failed() {
				t.Fatal(name)
			}
		}
	}
	r.rows("SELECT * FROM heap", "(1,2026-01-01,0.1)")
	now := row(at("2026-01-01 00:00:00"), "0.1")
	r.must(true, syncline.Change{Op: syncline.ChangeDelete, Object: "heap", Row: syncline.Row{Schema: s, Values: now}, Before: now})
	r.rows("SELECT count(*) FROM heap", "(0)")
}

// TestNoOtherRecordIsRemoved: a record whose key the table would hold as another one was never written, and what becomes of it is nothing to the
// record that has that key.
func TestNoOtherRecordIsRemoved(t *testing.T) {
	t.Parallel()
	kinds := map[string]syncline.Kind{"date": syncline.KindTimestamp, "real": syncline.KindDecimal, "numeric(10,2)": syncline.KindDecimal, "numeric(5)": syncline.KindDecimal,
		"timestamp(0)": syncline.KindTimestamp, "name": syncline.KindText, `"char"`: syncline.KindText, "varchar(3)": syncline.KindText, "char(3)": syncline.KindText, "short": syncline.KindText}
	r := newRig(t, Options{}, "CREATE DOMAIN short AS char(3)")
	for _, test := range []struct {
		typ, other string
		key        syncline.Value
	}{
		{"date", "2026-01-02", syncline.Raw(syncline.KindTimestamp, []byte("2026-01-02 10:00:00"))},
		{"date", "2026-01-02", syncline.Text("1/2/2026")},
		{"date", "2026-01-02", syncline.Int(20260102)},
		{"real", "0.1", syncline.Decimal("0.1000000001")},
		{"numeric(10,2)", "1.23", syncline.Decimal("1.234")},
		{"numeric(5)", "2", syncline.Decimal("1.5")},
		{"timestamp(0)", "2026-01-02 10:00:00", syncline.Raw(syncline.KindTimestamp, []byte("2026-01-02 10:00:00.2"))},
		{"name", strings.Repeat("a", 63), syncline.Text(strings.Repeat("a", 64))},
		{`"char"`, "x", syncline.Text("xy")},
		{"varchar(3)", "abc", syncline.Text("abc  ")},
		{"char(3)", "a", syncline.Text("a ")},
		{"short", "a", syncline.Text("a ")},
	} {
		execute(t, r.c, "DROP TABLE IF EXISTS a, b", "CREATE TABLE a (k "+test.typ+" PRIMARY KEY, v text)", "CREATE TABLE b (k "+test.typ+", n text, PRIMARY KEY (k, n))",
			"INSERT INTO a VALUES ('"+test.other+"', 'stays')", "INSERT INTO b VALUES ('"+test.other+"', '1')")
		clear(r.tgt.objects)
		s := &syncline.Schema{Entity: "e", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "k", Kind: kinds[test.typ]}, {Name: "v", Kind: syncline.KindText, Nullable: true}}}
		child := &syncline.Schema{Entity: "e", Key: []int{0, 1}, Version: -1, Columns: []syncline.Column{{Name: "k", Kind: kinds[test.typ]}, {Name: "n", Kind: syncline.KindText}}}
		row := syncline.Row{Schema: s, Values: []syncline.Value{test.key, syncline.Unset}}
		gone := syncline.Change{Op: syncline.ChangeDelete, Object: "a", Row: row}
		cleared := syncline.Change{Op: syncline.ChangeClear, Object: "b", Parent: 1, Row: syncline.Row{Schema: child, Values: []syncline.Value{test.key, syncline.Unset}}}
		many := make([]syncline.Change, defaultCopyMin)
		for i := range many {
			many[i] = gone
		}
		fresh := syncline.Raw(kinds[test.typ], []byte(map[syncline.Kind]string{syncline.KindTimestamp: "2000-01-01 00:00:00", syncline.KindDecimal: "9", syncline.KindText: "z"}[kinds[test.typ]]))
		moved := syncline.Change{Op: syncline.ChangePut, Object: "a", OldKey: []syncline.Value{test.key}, Row: syncline.Row{Schema: s, Values: []syncline.Value{fresh, syncline.Text("new")}}}
		r.must(false, gone, cleared)
		r.must(false, many...)
		r.must(true, gone, cleared, moved)
		r.rows("SELECT v FROM a ORDER BY v", "(new)", "(stays)")
		r.rows("SELECT count(*) FROM b", "(1)")
		w := r.write(false, gone)
		w.Decide = func(int, syncline.Held) (syncline.Decision, error) {
			return syncline.Decision{Op: syncline.ChangeDelete}, nil
		}
		if _, err := r.tgt.Apply(t.Context(), w); syncline.ClassOf(err) != syncline.Rejected {
			t.Errorf("%s in a %s: a deletion that is decided about: %v, want that it is refused", test.key, test.typ, err)
		}
		if r.rows("SELECT v FROM a ORDER BY v", "(new)", "(stays)"); t.Failed() {
			t.Fatalf("%s in a column of type %s", test.key, test.typ)
		}
	}
}

// TestFilledUpKeysAreFound: of a source that fills keys up with blanks, as a column of type character does.
func TestFilledUpKeysAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    Options
		from string
	}{{Options{}, ""}, {Options{PostgresSource: true}, "character(3)"}, {Options{PostgresSource: true}, "short"}, {Options{PostgresSource: true}, ""}} {
		r := newRig(t, c.o, "CREATE TABLE a (k char(3) PRIMARY KEY, v text)")
		s := cols(1, "k", "v")
		s.Columns[0].Type, s.Columns[1].Type = c.from, "text"
		r.must(false, put("a", s, "a  ", "1"), put("a", s, "b  ", "2"))
		r.must(false, del("a", s, "a  ", "1"))
		r.rows("SELECT v FROM a", "(2)")
	}
}
