package state

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

var sl = Slice{Route: "customer-warehouse", Slice: 0}

func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openNew(t testing.TB) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "state.db"))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func cur(seq syncline.Seq, index int) syncline.Cursor {
	return syncline.Cursor{Log: "L1", Seq: seq, Index: index, Epoch: 1}
}

func place1(t testing.TB, s *Store, sl Slice) {
	t.Helper()
	must(t, s.PlaceRoute(t.Context(), sl, Route{Cursor: cur(1, 0), Source: "crm", Signature: "sig"}))
}

// journal reads whole entries from..to with these outcomes.
func journal(from, to syncline.Seq, outcomes ...Outcome) *Journal {
	j := &Journal{From: cur(from, 0), To: cur(to, 0), RuleVersion: "v1", Outcomes: AppendOutcomes(nil, outcomes),
		Start: time.UnixMicro(1000).UTC(), End: time.UnixMicro(2000).UTC()}
	for _, o := range outcomes {
		j.Counts.Count(o, 1)
		j.Latency.Observe(time.Duration(from)*time.Millisecond, 1)
	}
	return j
}

func task(id string, seq syncline.Seq, index int, status string) Exception {
	at := time.UnixMicro(5_000_000).UTC()
	return Exception{Task: id, Slice: sl, Rule: "r", Source: "crm", Entity: "customer", Object: "dim_customer", Key: "42,7", Seq: seq,
		Index: index, Status: status, Code: "target_rejected", Error: "too long", Attempts: 1, Created: at, Updated: at, Record: []byte("rec " + id)}
}

func codeOf(t *testing.T, err error, class syncline.Class, code string) {
	t.Helper()
	if syncline.CodeOf(err) != code || syncline.ClassOf(err) != class {
		t.Errorf("error = %v (%s, %s), want %s, %s", err, syncline.CodeOf(err), syncline.ClassOf(err), code, class)
	}
}

func TestStoreKeepsEverythingAcrossReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder?", "100%", "state.db")
	s, err := Open(t.Context(), Options{Path: path})
	must(t, err)
	place1(t, s, sl)
	must(t, s.Commit(t.Context(), Commit{Slice: sl, Journal: journal(1, 3, Applied, Parked), Park: []Exception{task("a", 2, 0, StatusFailed)},
		Cursor: cur(3, 0)}))
	id := s.ID()
	must(t, s.Close())

	s = openAt(t, path)
	if s.ID() != id || id == "" {
		t.Errorf("ID after reopen = %q, want %q", s.ID(), id)
	}
	r, err := s.Route(t.Context(), sl)
	must(t, err)
	if !r.Known || r.Cursor != cur(3, 0) || r.Source != "crm" || r.Signature != "sig" {
		t.Errorf("Route = %+v, want it at 3.0", r)
	}
	e, err := s.Exception(t.Context(), "a")
	must(t, err)
	if diff := cmp.Diff(task("a", 2, 0, StatusFailed), e); diff != "" {
		t.Errorf("Exception (-want +got):\n%s", diff)
	}
	want := journal(1, 3, Applied, Parked)
	must(t, s.read(t.Context(), "test", func(rows *sql.Rows) error {
		j, err := scanJournal(rows)
		if err != nil || j.RuleVersion != want.RuleVersion || !j.End.Equal(want.End) || j.Counts != want.Counts || j.Latency != want.Latency {
			t.Errorf("journal = %+v, %v, want %+v", j, err, want)
		}
		return nil
	}, "SELECT "+journalColumns+" FROM journal"))
	if n := countRows(t, s, "journal"); n != 1 {
		t.Errorf("journal rows = %d, want 1", n)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("rights of the file = %v, %v, want 0600", fi.Mode().Perm(), err)
	}
	if fi, err := os.Stat(filepath.Dir(path)); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("rights of the folder = %v, %v, want 0700", fi.Mode().Perm(), err)
	}
}

func TestTwoStoresHaveDifferentIDs(t *testing.T) {
	if a, b := openNew(t).ID(), openNew(t).ID(); a == b {
		t.Errorf("both stores are %q", a)
	}
}

func TestOpenRefuses(t *testing.T) {
	newer := func(t *testing.T, path string) {
		s := openAt(t, path)
		must(t, s.write(t.Context(), "test", func(ctx context.Context, w *writer) error {
			_, err := w.exec(ctx, "INSERT INTO "+versionTable+" (version_id, is_applied) VALUES (9999, 1)")
			return err
		}))
		must(t, s.Close())
	}
	foreign := func(t *testing.T, path string) {
		db, err := sql.Open("sqlite", path)
		must(t, err)
		_, err = db.ExecContext(t.Context(), "CREATE TABLE customer (id INTEGER)")
		must(t, errors.Join(err, db.Close()))
	}
	damagedPage := func(t *testing.T, path string) {
		s := openAt(t, path)
		place1(t, s, sl)
		must(t, s.Close())
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		fi, err := f.Stat()
		must(t, err)
		junk := make([]byte, fi.Size()-8192)
		for i := range junk {
			junk[i] = 0xA5
		}
		_, err = f.WriteAt(junk, 8192)
		must(t, errors.Join(err, f.Close()))
	}
	for _, c := range []struct {
		name, code string
		make       func(t *testing.T, path string)
	}{
		{"a newer schema", "state_newer", newer},
		{"another program's database", "state_foreign", foreign},
		{"damaged pages", "state_corrupt", damagedPage},
		{"a file that is no database", "state_corrupt", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte("this is certainly not a database, whatever its name says; it is long enough to have a header"), 0o600))
		}},
		{"a folder in its place", "state_unwritable", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			c.make(t, path)
			_, err := Open(t.Context(), Options{Path: path})
			codeOf(t, err, syncline.Fatal, c.code)
			var e *syncline.Error
			if errors.As(err, &e) && e.Fix == "" {
				t.Errorf("%s has no way out", c.code)
			}
		})
	}
	_, err := Open(t.Context(), Options{})
	codeOf(t, err, syncline.Fatal, "state_path")
}

func TestClosedStoreSaysSo(t *testing.T) {
	s := openNew(t)
	must(t, s.Close())
	_, err := s.Routes(t.Context())
	codeOf(t, err, syncline.Fatal, "state_closed")
	codeOf(t, s.PlaceRoute(t.Context(), sl, Route{}), syncline.Fatal, "state_closed")
}

func TestMigrationsRunOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	for range 2 {
		must(t, openAt(t, path).Close())
	}
	s := openAt(t, path)
	n := 0
	must(t, s.read(t.Context(), "test", func(r *sql.Rows) error { return r.Scan(&n) },
		"SELECT count(*) FROM "+versionTable+" WHERE version_id > 0"))
	files, err := sqliteMigrations.ReadDir("migrations/sqlite")
	must(t, err)
	if n != len(files) {
		t.Errorf("applied migrations = %d, want %d", n, len(files))
	}
}

// A store that an older version wrote keeps what it has and learns what is new.
func TestAnOlderStoreIsBroughtUpToDate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := openWriter(t.Context(), path)
	must(t, err)
	must(t, checkFile(t.Context(), db))
	older, err := migrations(db)
	must(t, err)
	_, err = older.UpTo(t.Context(), 3)
	must(t, err)
	_, err = db.ExecContext(t.Context(), `INSERT INTO route (route, slice, known, placing, source, signature, run, log, seq, idx, epoch, halt, halt_text, halt_fix,
		halt_at, gap_from, gap_to, mixed, updated, folded_seq, folded_idx, n_read, n_applied, n_filtered, n_superseded, n_parked, n_skipped)
		VALUES (?, ?, 1, 0, 'crm', 'sig', '', ?, 7, 2, 1, '', '', '', 0, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0)`, sl.Route, sl.Slice, cur(7, 2).Log)
	must(t, errors.Join(err, db.Close()))

	s := openAt(t, path)
	if r, err := s.Route(t.Context(), sl); err != nil || !r.Known || r.Cursor != cur(7, 2) || r.Settled != 7 {
		t.Errorf("Route = %+v, %v, want it as it was", r, err)
	}
	if all, err := s.Schemas(t.Context(), sl); err != nil || len(all) != 0 {
		t.Errorf("Schemas = %v, %v, want none yet", all, err)
	}
}

func TestSQLiteVersionIsCompared(t *testing.T) {
	for v, want := range map[string]bool{"3.51.3": true, "3.51.2": false, "3.53.0": true, "3.9.9": false, "4.0.0": true, "3.51": false, "x": false} {
		if got := atLeast(v, minSQLite); got != want {
			t.Errorf("atLeast(%q) = %v, want %v", v, got, want)
		}
	}
}
