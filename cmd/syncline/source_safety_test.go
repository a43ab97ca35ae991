package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// shopped is a PostgreSQL source that is harmed, and a SQLite target that has to hold the same in the end.
type shopped struct {
	t       *testing.T
	pg      *testserver.Postgres
	url     string
	src     *pgxpool.Pool
	dst     *sql.DB
	program *program
}

func newShopped(t *testing.T, settings ...string) *shopped {
	t.Helper()
	s := &shopped{t: t, pg: testserver.NewPostgres(t, append([]string{"fsync=off"}, settings...)...)}
	s.url = s.pg.Database(t)
	s.src = connect(t, s.url)
	mustExec(t, s.src, `CREATE TABLE item (id int PRIMARY KEY, body text)`)
	mustExec(t, s.src, `INSERT INTO item SELECT n, 'first' FROM generate_series(1, 20) n`)
	path := filepath.Join(t.TempDir(), "dw.db")
	s.program = newProgram(t, fmt.Sprintf(`
systems:
  crm: {type: postgres, url: %q, capture: {manage: true, entities: {item: {table: item}}}}
  dw: {type: sqlite, path: %q}
rules:
  - {id: item-dw, from: crm/item, to: dw/item, create: true}
`, s.url, path))
	s.program.start()
	s.program.ready()
	var err error
	if s.dst, err = sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.dst.Close() })
	eventually(t, "first copy", s.differ)
	return s
}

// reconnect is for after the server was another one.
func (s *shopped) reconnect() {
	s.src.Close()
	s.src = connect(s.t, s.url)
}

func (s *shopped) differ(ctx context.Context) error {
	const all = `SELECT id, substr(body, 1, 10) FROM item ORDER BY id`
	var want, got []string
	rows, err := s.src.Query(ctx, all)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		var body string
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
		want = append(want, fmt.Sprint(id, body))
	}
	there, err := s.dst.QueryContext(ctx, all)
	if err != nil {
		return err
	}
	defer there.Close() //nolint:errcheck // Err tells
	for there.Next() {
		var id int
		var body string
		if err := there.Scan(&id, &body); err != nil {
			return err
		}
		got = append(got, fmt.Sprint(id, body))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("warehouse (-source +target):\n%s", diff)
	}
	return errors.Join(rows.Err(), there.Err())
}

// command is what a fix has to be typed.
var command = regexp.MustCompile("`syncline ([^`]+)`")

// TestSourcesThatCannotGoOn are harmed as servers are in life. Each halts with its code, and says so in status; nothing is applied, and nothing made
// anew. The command that the fix names, as it stands there, brings back everything that changed or went meanwhile, which a verification has
// shown.
func TestSourcesThatCannotGoOn(t *testing.T) {
	t.Parallel()
	const change = `UPDATE item SET body = 'lost' WHERE id < 5; DELETE FROM item WHERE id IN (7, 8); INSERT INTO item VALUES (100, 'new')`
	for _, test := range []struct {
		name, code string
		settings   []string
		harm       func(s *shopped)
	}{
		{"dropped", "slot_missing", nil, func(s *shopped) {
			s.program.kill()
			s.free()
			mustExec(s.t, s.src, `SELECT pg_drop_replication_slot('syncline_crm')`)
			mustExec(s.t, s.src, change)
		}},
		{"made anew by somebody", "slot_ahead", nil, func(s *shopped) {
			s.program.kill()
			s.free()
			mustExec(s.t, s.src, `SELECT pg_drop_replication_slot('syncline_crm')`)
			mustExec(s.t, s.src, change)
			mustExec(s.t, s.src, `SELECT pg_create_logical_replication_slot('syncline_crm', 'pgoutput')`)
		}},
		{"advanced", "slot_ahead", nil, func(s *shopped) {
			s.program.kill()
			s.free()
			mustExec(s.t, s.src, change)
			mustExec(s.t, s.src, `SELECT pg_replication_slot_advance('syncline_crm', pg_current_wal_lsn())`)
		}},
		{"given up by the server", "slot_lost", []string{"max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB"}, func(s *shopped) {
			s.program.kill()
			s.free()
			mustExec(s.t, s.src, change)
			eventually(s.t, "the server gives the slot up", func(ctx context.Context) error {
				mustExec(s.t, s.src, `SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 20)`)
				mustExec(s.t, s.src, `CHECKPOINT`)
				var status string
				err := s.src.QueryRow(ctx, `SELECT wal_status FROM pg_replication_slots`).Scan(&status)
				if err == nil && status != "lost" {
					err = errors.New(status)
				}
				return err
			})
		}},
		{"restored from a backup", "source_behind", nil, func(s *shopped) {
			backup := s.pg.Backup(s.t)
			mustExec(s.t, s.src, change)
			mustExec(s.t, s.src, `UPDATE item SET body = repeat('x', 2000000) WHERE id BETWEEN 11 AND 15`)
			mustExec(s.t, s.src, `ALTER TABLE item ALTER body SET STORAGE EXTERNAL; UPDATE item SET body = repeat('y', 2000000) WHERE id BETWEEN 16 AND 18`)
			eventually(s.t, "it is captured", s.differ)
			s.program.kill()
			s.pg.Restore(s.t, backup, false)
			s.reconnect()
		}},
		{"promoted", "source_changed", nil, func(s *shopped) {
			backup := s.pg.Backup(s.t)
			mustExec(s.t, s.src, change)
			eventually(s.t, "it is captured", s.differ)
			s.program.kill()
			s.pg.Restore(s.t, backup, true)
			s.reconnect()
			mustExec(s.t, s.src, `UPDATE item SET body = 'promoted' WHERE id = 9; DELETE FROM item WHERE id = 10`)
		}},
		{"another server", "source_changed", nil, func(s *shopped) {
			s.program.kill()
			config, err := os.ReadFile(s.program.config)
			if err != nil {
				s.t.Fatal(err)
			}
			was := s.url
			s.pg = testserver.NewPostgres(s.t, "fsync=off")
			s.url = s.pg.Database(s.t)
			if err := os.WriteFile(s.program.config, bytes.ReplaceAll(config, []byte(was), []byte(s.url)), 0o600); err != nil {
				s.t.Fatal(err)
			}
			s.reconnect()
			mustExec(s.t, s.src, `CREATE TABLE item (id int PRIMARY KEY, body text)`)
			mustExec(s.t, s.src, `INSERT INTO item SELECT n, 'first' FROM generate_series(1, 20) n`)
			mustExec(s.t, s.src, change)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShopped(t, test.settings...)
			test.harm(s)
			s.program.start()
			s.program.answers()
			var fix string
			eventually(t, "the source halts", func(context.Context) error {
				st := s.program.system("crm")
				if st.State != "halted" || st.Error == nil || st.Error.Code != test.code {
					return fmt.Errorf("it is %+v, error %+v", st, st.Error)
				}
				fix = st.Error.Fix
				return nil
			})
			m := command.FindStringSubmatch(fix)
			out := s.typed("status")
			if m == nil || !strings.Contains(out, test.code) || !strings.Contains(out, m[0]) {
				t.Fatalf("fix = %q, syncline status:\n%s", fix, out)
			}
			s.typed(strings.Fields(m[1])...)
			eventually(t, "what was missing is there", s.differ)
			eventually(t, "the gap is closed", func(context.Context) error {
				if st := s.program.system("crm"); st.Gap != nil || st.State != "running" {
					return fmt.Errorf("it is %s, the gap is %+v", st.State, st.Gap)
				}
				return nil
			})
			mustExec(t, s.src, `UPDATE item SET body = 'later' WHERE id = 1; DELETE FROM item WHERE id = 2`)
			eventually(t, "changes behind the gap arrive", s.differ)
			list, err := s.program.client().Verifications(t.Context(), 10)
			if err != nil || len(list) == 0 || list[0].Status != "done" || list[0].Differences != 0 {
				t.Errorf("verifications = %+v, %v, want one that found nothing", list, err)
			}
			for id, r := range s.program.routes() {
				if !r.Counts.Balanced() || r.Counts.Parked != 0 || r.State != ops.RouteRunning {
					t.Errorf("route %s: %s, counts %+v", id, r.State, r.Counts)
				}
			}
		})
	}
}

// free waits until nobody reads the slot.
func (s *shopped) free() {
	s.t.Helper()
	eventually(s.t, "nobody reads the slot", func(ctx context.Context) error {
		var active int
		err := s.src.QueryRow(ctx, `SELECT count(*) FROM pg_replication_slots WHERE active`).Scan(&active)
		if err == nil && active > 0 {
			err = errors.New("it is active")
		}
		return err
	})
}

// typed runs a command and returns what it prints.
func (s *shopped) typed(args ...string) string {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(s.t.Context(), append(args, "--server", s.program.url()), &stdout, &stderr); code != exitOK {
		s.t.Fatalf("syncline %s = %d:\n%s%s", strings.Join(args, " "), code, stdout.String(), stderr.String())
	}
	return stdout.String()
}
