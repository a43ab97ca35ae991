package sqlite

import (
	"fmt"
	"strings"
	"testing"

	"syncline"
)

// TestKeysOfManyForms asks for records by keys whose canonical text is not what is stored.
func TestKeysOfManyForms(t *testing.T) {
	for decl, stored := range map[string][]string{
		"INTEGER":             {"7", "-3"},
		"TEXT":                {"'a,b'", "''", "'7'", "'A'", "'a'"},
		"TEXT COLLATE NOCASE": {"'Ab'", "'c'"},
		"":                    {"7", "'7x'", "x'07ff'", "1.5"},
		"BLOB":                {"x'00ff'", "x''", "'text'"},
		"DECIMAL(10,2)":       {"12.5", "7", "1e15"},
		"REAL":                {"0.1", "1e300"},
		"BOOLEAN":             {"1", "'false'"},
		"DATE":                {"'2024-02-29'", "5"},
		"TIMESTAMP":           {"'2024-01-02T03:04:05.500'", "'2024-01-02 03:04'"},
		"TIMESTAMPTZ":         {"'2024-01-02 03:04:05+02:00'"},
		"UUID":                {"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "x'b0eebc999c0b4ef8bb6d6bb9bd380a11'", "'c0eebc999c0b4ef8bb6d6bb9bd380a11'", "'none'"},
		"JSON":                {`'{"b": 1, "a": 2}'`, "'[1]'"},
		"VARCHAR(9)":          {"'" + "x" + "'", "NULL"},
	} {
		t.Run(decl, func(t *testing.T) {
			shop := newMarkedShop(t, "CREATE TABLE item (k "+decl+" PRIMARY KEY, v)")
			f := follow(t, shop, "item", "mark")
			for _, v := range stored {
				shop.exec(t, "INSERT INTO item VALUES ("+v+", 1)")
			}
			f.upTo()
			want := f.rows["item"]
			if len(want) != len(stored) {
				t.Fatalf("%d keys of %d rows", len(want), len(stored))
			}
			absent := syncline.Key("not there")
			if want[""] == nil {
				absent = ""
			}
			run := syncline.Run{ID: "keys", Kind: syncline.RunKeys, Entity: "item", Keys: []syncline.Key{absent}}
			for k := range want {
				run.Keys = append(run.Keys, k)
			}
			if err := f.src.StartRun(run); err != nil {
				t.Fatal(err)
			}
			found := map[syncline.Key]syncline.Op{}
			from := len(f.log)
			f.upTo()
			for _, b := range f.log[from:] {
				for i := range b.Events {
					if k, ok := b.Events[i].Key(); ok && b.Chunk != nil {
						found[k] = b.Events[i].Op
					}
				}
			}
			for _, k := range run.Keys {
				wanted := syncline.OpRepair
				if k == absent {
					wanted = syncline.OpAbsent
				}
				if found[k] != wanted {
					t.Errorf("key %s is %v, want %v", k, found[k], wanted)
				}
			}
		})
	}
}

func TestUnsupportedTables(t *testing.T) {
	wide := make([]string, maxColumns+1)
	for i := range wide {
		wide[i] = fmt.Sprintf("c%d", i)
	}
	for code, st := range map[string]string{
		"object_missing":    "CREATE VIEW item AS SELECT 1 AS id",
		"table_unsupported": "CREATE TABLE item (" + strings.Join(wide, ", ") + ")",
	} {
		shop := newMarkedShop(t, st)
		shop.opt.Entities = map[string]Entity{"item": {Table: "item"}}
		wantFatal(t, NewSource(shop.opt).Open(t.Context(), nil, syncline.Position{}), code)
	}
	shop := newMarkedShop(t)
	for code, entities := range map[string]map[string]Entity{
		"object_missing":       {"item": {Table: "nothing"}},
		"column_missing":       {"item": {Table: "mark", Key: []string{"no"}}},
		"table_captured_twice": {"item": {Table: "mark"}, "other": {Table: "MARK"}},
		"identifier_invalid":   {"item": {Table: `"mark`}},
	} {
		shop.opt.Entities = entities
		wantFatal(t, NewSource(shop.opt).Open(t.Context(), nil, syncline.Position{}), code)
	}
}

// TestEntity: the declared key and version, generated columns, names of any kind.
func TestEntity(t *testing.T) {
	shop := newMarkedShop(t, `CREATE TABLE "Order ""lines""" ("Order" INT, "line no" INT, qty INT, twice INT AS (qty * 2), ver INT NOT NULL DEFAULT 1)`)
	shop.opt.Entities = map[string]Entity{"line": {Table: `main."order ""LINES"""`, Key: []string{"Order", "LINE no"}, Version: "Ver"}}
	src := NewSource(shop.opt)
	if err := src.Open(t.Context(), nil, syncline.Position{}); err != nil {
		t.Fatal(err)
	}
	shop.exec(t, `INSERT INTO "Order ""lines""" VALUES (7, 2, 5, 3)`)
	shop.exec(t, `UPDATE "Order ""lines""" SET "line no" = 3`)
	var events []syncline.Event
	for len(events) < 2 {
		b, err := src.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, b.Events...)
	}
	s := events[0].Schema
	if got := fmt.Sprintf("%s %s %v %d %s %v", s.Entity, s.Table, s.KeyNames(), s.Version, s.Columns[4].Default, s.Columns[4].Nullable); got != `line Order "lines" [Order line no] 4 1 false` {
		t.Errorf("schema = %s", got)
	}
	is, _ := events[1].Key()
	was, changed := events[1].OldKey()
	if is != "7,3" || was != "7,2" || !changed {
		t.Errorf("key = %s, was %s (%v), want 7,3 and 7,2", is, was, changed)
	}
	if got := events[0].Row().Field("twice"); !syncline.Equal(got, syncline.Int(10)) {
		t.Errorf("generated column = %v, want 10", got)
	}
	if err := src.Close(); err != nil {
		t.Error(err)
	}
}
