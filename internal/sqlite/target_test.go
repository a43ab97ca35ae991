package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"syncline"
	"syncline/internal/targettest"
)

func TestTarget(t *testing.T) {
	for _, guard := range []bool{false, true} {
		t.Run(fmt.Sprintf("guard %v", guard), func(t *testing.T) {
			targettest.Run(t, targettest.Harness{Guarded: guard, Open: func(t *testing.T) targettest.Instance {
				opt := TargetOptions{URL: "sqlite:" + filepath.Join(t.TempDir(), "target.db"), Route: "r", Slice: 3, Guard: guard}
				return targettest.Instance{
					Target: openTarget(t, opt),
					Reopen: func() syncline.Target { return openTarget(t, opt) },
					Refuse: func(object string, row syncline.Row) syncline.Row {
						db := database(t, opt.URL)
						execute(t, db, `CREATE TRIGGER IF NOT EXISTS refuse BEFORE INSERT ON `+quote(object)+` WHEN NEW.name = 'refused' BEGIN SELECT RAISE(ABORT, 'refused'); END`)
						values := append([]syncline.Value(nil), row.Values...)
						values[1] = syncline.Text("refused")
						return syncline.Row{Schema: row.Schema, Values: values}
					},
				}
			}})
		})
	}
}

func openTarget(t testing.TB, opt TargetOptions) *Target {
	t.Helper()
	tgt, err := OpenTarget(t.Context(), opt)
	if err != nil {
		t.Fatalf("OpenTarget: %v", err)
	}
	t.Cleanup(func() {
		if err := tgt.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return tgt
}

// database opens the file once more, as somebody else would.
func database(t testing.TB, url string) *sql.DB {
	t.Helper()
	path, err := Path(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := openFile(t.Context(), path, true, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func execute(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
