package sqlite

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"syncline"
)

// TestValuesOfOtherKindsAreKept: whatever a column of any kind is given comes back as it was, or as its text, never as another value.
func TestValuesOfOtherKindsAreKept(t *testing.T) {
	t.Parallel()
	raw := func(k syncline.Kind, s string) syncline.Value { return syncline.Raw(k, []byte(s)) }
	values := []syncline.Value{syncline.Bool(true), syncline.Int(math.MaxInt64), syncline.Uint(math.MaxUint64), syncline.Float(0.1 + 0.2), syncline.Float(math.Inf(1)),
		syncline.Decimal("1.50"), syncline.Decimal("Infinity"), syncline.Text("now"), syncline.Text("007"), syncline.Text("1e400"), syncline.Decimal("12345678901234567890.12"), syncline.Text("a\x00b"), syncline.Text(""), syncline.Bytes([]byte{0, 0xff}), raw(syncline.KindDate, "0044-03-15 BC"),
		raw(syncline.KindDate, "12026-01-01"), raw(syncline.KindTime, "24:00:00"), raw(syncline.KindTimestamp, "infinity"), raw(syncline.KindTimestampTZ, "294276-12-31 23:59:59.999999+00"),
		raw(syncline.KindTimestampTZ, "2024-01-01 00:00:00+00"), raw(syncline.KindUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), syncline.JSON([]byte(`{"a":1e400}`)), syncline.Null}
	kinds := []syncline.Kind{syncline.KindBool, syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal, syncline.KindText, syncline.KindBytes,
		syncline.KindDate, syncline.KindTime, syncline.KindTimestamp, syncline.KindTimestampTZ, syncline.KindUUID, syncline.KindJSON}
	// Each kind is written to a column as a rule makes it, and to one of each affinity.
	s := &syncline.Schema{Entity: "v", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}}}
	declared := []string{"id INTEGER PRIMARY KEY"}
	for _, k := range kinds {
		for _, typ := range []string{typeOf(&syncline.Column{Kind: k}), "", "BLOB", "NUMERIC", "DATE", "BIGINT", "REAL", "VARCHAR(9)"} {
			c := syncline.Column{Name: fmt.Sprintf("c%d", len(s.Columns)), Kind: k, Nullable: true}
			s.Columns = append(s.Columns, c)
			declared = append(declared, c.Name+" "+typ)
		}
	}
	ctx := context.Background()
	target, err := OpenTarget(ctx, TargetOptions{URL: filepath.Join(t.TempDir(), "t.db"), Route: "r"})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close() //nolint:errcheck // a temporary file
	if _, err := target.conn.ExecContext(ctx, "CREATE TABLE v ("+strings.Join(declared, ", ")+")"); err != nil {
		t.Fatal(err)
	}
	b, err := target.binding(ctx, target.conn, "v", s)
	if err != nil {
		t.Fatal(err)
	}
	const refused = "refused"
	for n, v := range values {
		args := []any{n}
		for i := range b.columns[1:] {
			c := &b.columns[i+1]
			if c.affinity >= affinityNumeric && !c.holds(v) {
				if made := typeOf(&s.Columns[i+1]); v.Kind() == c.typ.kind && strings.HasSuffix(declared[i+1], " "+made) {
					t.Errorf("%s is refused by a column of its own kind", v)
				}
				args = append(args, refused)
				continue
			}
			args = append(args, c.store(v))
		}
		if _, err := target.conn.ExecContext(ctx, b.insert(1), args...); err != nil {
			t.Fatal(err)
		}
	}
	err = target.Scan(ctx, "v", s, func(r syncline.Row) error {
		n, err := r.Values[0].AsInt()
		if err != nil {
			return err
		}
		want := values[n]
		for i, got := range r.Values[1:] {
			k := s.Columns[i+1].Kind
			same := got.Kind() != syncline.KindBytes && (got.Text() == want.Text() || syncline.Equal(syncline.Raw(syncline.KindDecimal, got.Bytes()), syncline.Raw(syncline.KindDecimal, want.Bytes())))
			if got.Text() != refused && !syncline.Equal(got, want) && (want.Kind() == k && got.Kind() == k || !same) {
				t.Errorf("%s in column %s of %s comes back as %s", want, declared[i+1], k, got)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestStrayValuesAreRefusedByEveryWrite: what a group of rows is refused for is not taken when they are tried one by one, in the order of the log.
func TestStrayValuesAreRefusedByEveryWrite(t *testing.T) {
	opt := TargetOptions{URL: filepath.Join(t.TempDir(), "t.db"), Route: "r"}
	tgt, db := openTarget(t, opt), database(t, opt.URL)
	execute(t, db, "CREATE TABLE keyed (id INTEGER PRIMARY KEY, n DECIMAL)", "CREATE TABLE heap (id INTEGER, n DECIMAL)", "INSERT INTO heap VALUES (1, 7)")
	if err := tgt.Place(t.Context(), syncline.Cursor{Log: "l", Seq: 1}, "s"); err != nil {
		t.Fatal(err)
	}
	keyed := &syncline.Schema{Entity: "e", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt}, {Name: "n", Kind: syncline.KindDecimal, Nullable: true}}}
	heap := &syncline.Schema{Entity: "e", Version: -1, Columns: keyed.Columns}
	stray := []syncline.Value{syncline.Int(1), syncline.Text("007")}
	for _, ordered := range []bool{false, true} {
		changes := []syncline.Change{{Op: syncline.ChangePut, Object: "keyed", Row: syncline.Row{Schema: keyed, Values: stray}},
			{Op: syncline.ChangeInsert, Object: "heap", Row: syncline.Row{Schema: heap, Values: stray}}}
		if ordered {
			changes = append(changes, syncline.Change{Op: syncline.ChangeReplace, Object: "heap", Row: syncline.Row{Schema: heap, Values: stray},
				Before: []syncline.Value{syncline.Int(1), syncline.Decimal("7")}})
		}
		for _, c := range changes {
			_, err := tgt.Apply(t.Context(), &syncline.Write{Changes: []syncline.Change{c}, Ordered: ordered, Cursor: syncline.Cursor{Log: "l", Seq: 2},
				Commit: func(context.Context, syncline.Result) error { return nil }})
			if syncline.ClassOf(err) != syncline.Rejected || syncline.CodeOf(err) != "kind_mismatch" {
				t.Errorf("operation %d, ordered %v: %v, want kind_mismatch", c.Op, ordered, err)
			}
		}
	}
}

// TestNoOtherRecordIsRemoved: a record whose key, or a keyless row whose value, SQLite would make another one of was never written, and what becomes
// of it is nothing to the record that has that one.
func TestNoOtherRecordIsRemoved(t *testing.T) {
	t.Parallel()
	opt := TargetOptions{URL: filepath.Join(t.TempDir(), "t.db"), Route: "r"}
	tgt, db := openTarget(t, opt), database(t, opt.URL)
	execute(t, db, "CREATE TABLE a (k DECIMAL PRIMARY KEY, v TEXT)", "CREATE TABLE b (k DECIMAL, n TEXT, PRIMARY KEY (k, n))", "CREATE TABLE heap (n DECIMAL, v TEXT)",
		"INSERT INTO a VALUES (7, 'stays')", "INSERT INTO b VALUES (7, '1')", "INSERT INTO heap VALUES (7, 'stays')")
	if err := tgt.Place(t.Context(), syncline.Cursor{Log: "l", Seq: 1}, "s"); err != nil {
		t.Fatal(err)
	}
	schema := func(key []int, second string) *syncline.Schema {
		return &syncline.Schema{Entity: "e", Key: key, Version: -1, Columns: []syncline.Column{{Name: "k", Kind: syncline.KindDecimal}, {Name: second, Kind: syncline.KindText, Nullable: true}}}
	}
	s, child, heap := schema([]int{0}, "v"), schema([]int{0, 1}, "n"), schema(nil, "v")
	heap.Columns[0].Name = "n"
	row := func(s *syncline.Schema, values ...syncline.Value) syncline.Row {
		return syncline.Row{Schema: s, Values: values}
	}
	stray := syncline.Text("007")
	gone := syncline.Change{Op: syncline.ChangeDelete, Object: "a", Row: row(s, stray, syncline.Unset)}
	cleared := syncline.Change{Op: syncline.ChangeClear, Object: "b", Parent: 1, Row: row(child, stray, syncline.Unset)}
	moved := syncline.Change{Op: syncline.ChangePut, Object: "a", OldKey: []syncline.Value{stray}, Row: row(s, syncline.Decimal("9"), syncline.Text("new"))}
	old := []syncline.Value{stray, syncline.Text("stays")}
	apply := func(ordered bool, decide func(int, syncline.Held) (syncline.Decision, error), changes ...syncline.Change) error {
		_, err := tgt.Apply(t.Context(), &syncline.Write{Changes: changes, Ordered: ordered, Decide: decide, Cursor: syncline.Cursor{Log: "l", Seq: 2},
			Commit: func(context.Context, syncline.Result) error { return nil }})
		return err
	}
	for _, err := range []error{apply(false, nil, gone, cleared), apply(false, nil, gone, gone), apply(true, nil, gone, cleared, moved)} {
		if err != nil {
			t.Error(err)
		}
	}
	for _, c := range []syncline.Change{
		{Op: syncline.ChangeDelete, Object: "heap", Row: row(heap, old...), Before: old},
		{Op: syncline.ChangeReplace, Object: "heap", Row: row(heap, syncline.Decimal("9"), syncline.Null), Before: old},
	} {
		if err := apply(true, nil, c); syncline.CodeOf(err) != "row_not_found" {
			t.Errorf("a row that was never written: %v, want row_not_found", err)
		}
	}
	remove := func(int, syncline.Held) (syncline.Decision, error) {
		return syncline.Decision{Op: syncline.ChangeDelete}, nil
	}
	if err := apply(false, remove, gone); syncline.ClassOf(err) != syncline.Rejected {
		t.Errorf("a deletion that is decided about: %v, want that it is refused", err)
	}
	for query, want := range map[string]int{"SELECT count(*) FROM a WHERE k = 7 AND v = 'stays'": 1, "SELECT count(*) FROM a": 2, "SELECT count(*) FROM b": 1, "SELECT count(*) FROM heap WHERE n = 7": 1} {
		var n int
		if err := db.QueryRow(query).Scan(&n); err != nil || n != want {
			t.Errorf("%s = %d, %v, want %d", query, n, err, want)
		}
	}
}
