package sqlite

import (
	"fmt"
	"strings"
	"testing"

	"syncline"
)

// TestSchemaChange alters the table while the source is closed and the application writes on, and while it is open.
func TestSchemaChange(t *testing.T) {
	tests := map[string][]string{
		"column added": {"UPDATE item SET v = 'before' WHERE id = 1", "ALTER TABLE item ADD COLUMN w TEXT",
			"UPDATE item SET w = 'seen' WHERE id = 2", "INSERT INTO item VALUES (20, 'n', 'new')", "DELETE FROM item WHERE id = 3", "UPDATE item SET id = 30 WHERE id = 4"},
		"column added with a default": {"ALTER TABLE item ADD COLUMN w TEXT NOT NULL DEFAULT 'it''s'", "UPDATE item SET w = 'seen'", "INSERT INTO item (id) VALUES (20)"},
		"column renamed":              {"ALTER TABLE item RENAME COLUMN v TO w", "UPDATE item SET w = 'renamed' WHERE id = 2", "INSERT INTO item VALUES (20, 'n')"},
		"key renamed":                 {"ALTER TABLE item RENAME COLUMN id TO no", "UPDATE item SET v = 'renamed' WHERE no = 2", "INSERT INTO item VALUES (20, 'n')"},
		"table made anew": {"CREATE TABLE other (id INTEGER PRIMARY KEY, x)", "INSERT INTO other SELECT id, 5 FROM item", "DROP TABLE item", "ALTER TABLE other RENAME TO item",
			"DELETE FROM item WHERE id = 2", "INSERT INTO item VALUES (20, 1)"},
		"unique index added": {"CREATE UNIQUE INDEX u ON item (v) WHERE id > 5", "REPLACE INTO item VALUES (20, 'v6'), (7, 'x')", "REPLACE INTO item VALUES (21, 'v8')"},
		"another trigger":    {"CREATE TRIGGER theirs AFTER DELETE ON item BEGIN INSERT INTO item VALUES (OLD.id + 100, 'by trigger'); END", "DELETE FROM item WHERE id = 1"},
	}
	for name, statements := range tests {
		for _, closed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, closed %v", name, closed), func(t *testing.T) {
				shop := newMarkedShop(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, v TEXT)")
				shop.opt.Snapshot = true
				f := follow(t, shop, "item", "mark")
				for i := 1; i < 10; i++ {
					shop.exec(t, "INSERT INTO item VALUES (?, ?)", i, fmt.Sprintf("v%d", i))
				}
				f.upTo()
				if closed {
					f.close()
				}
				for _, st := range statements {
					shop.exec(t, st)
				}
				if closed {
					f.open()
				}
				f.upTo()
				shop.exec(t, "DELETE FROM item WHERE rowid = 5")
				f.upTo()
				if strings.HasSuffix(name, "renamed") { // a target takes the new name for a new column and asks for the table
					if err := f.src.StartRun(syncline.Run{ID: "needs-sync", Kind: syncline.RunFull, Entity: "item"}); err != nil {
						t.Fatal(err)
					}
					f.upTo()
				}
				f.wantRows("item")
			})
		}
	}
}
