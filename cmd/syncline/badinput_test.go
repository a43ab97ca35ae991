package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// TestBadInputHarmsNobodyElse: each thing that is wrong stops its own source or route with one code and a way out, and the rest works.
func TestBadInputHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	pg := testserver.NewPostgres(t, "fsync=off")
	srcURL, dstURL := pg.Database(t), pg.Database(t)
	src, dst := connect(t, srcURL), connect(t, dstURL)
	mustExec(t, src, `CREATE TABLE good (id int PRIMARY KEY, body text)`)
	mustExec(t, src, `CREATE TABLE retyped (id int PRIMARY KEY, n text)`)
	mustExec(t, src, `CREATE TABLE cut (id int PRIMARY KEY, body text)`)
	mustExec(t, src, `CREATE TABLE bare (body text)`)
	for _, name := range []string{"good", "retyped", "cut"} {
		mustExec(t, src, `INSERT INTO `+name+` VALUES (1, '1')`)
	}
	const secret = "geheim"
	source := func(name, url, table string) string {
		return fmt.Sprintf("  %s: {type: postgres, url: %q, capture: {manage: true, slot: bad_%[1]s, publication: bad_%[1]s, entities: {%[3]s: {table: %[3]s}}}}\n",
			name, url, table)
	}
	p := newProgram(t, "systems:\n"+source("crm", srcURL, "good")+source("evolving", srcURL, "retyped")+source("cutoff", srcURL, "cut")+
		source("blind", srcURL, "bare")+
		source("refused", strings.Replace(srcURL, "postgres@", "nobody_of_that_name:${PASSWORD}@", 1), "good")+
		source("misspelt", srcURL, "goood")+
		fmt.Sprintf("  dw: {type: postgres, url: %q}\n", dstURL)+`rules:
  - {id: good, from: crm/good, to: dw/good, create: true}
  - {id: retyped, from: evolving/retyped, to: dw/retyped, create: true}
  - {id: cut, from: cutoff/cut, to: dw/cut, create: true}
  - {id: bare, from: blind/bare, to: dw/bare, create: true}
  - {id: refused, from: refused/good, to: dw/refused, create: true}
  - {id: misspelt, from: misspelt/goood, to: dw/misspelt, create: true}
`, "PASSWORD="+secret)
	stands := func(system, state, code string) {
		t.Helper()
		eventually(t, system+" is "+state, func(context.Context) error {
			st := p.system(system)
			if st.State != state || st.Error == nil || st.Error.Code != code || st.Error.Fix == "" || strings.Contains(st.Error.Text, secret) {
				return fmt.Errorf("it is %+v, error %+v, want code %s and a way out", st, st.Error, code)
			}
			return nil
		})
	}
	halted := func(system, code string) { t.Helper(); stands(system, "halted", code) }
	p.start()
	p.answers()
	stands("refused", "degraded", "login_refused")
	halted("misspelt", "table_missing")
	for _, name := range []string{"good", "retyped", "cut"} {
		copied(t, src, dst, name)
	}

	// A table whose updates cannot be captured is a warning.
	eventually(t, "the status warns of the table without a key", func(context.Context) error {
		st := p.system("blind")
		if st.State != "running" || len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], "public.bare") {
			return fmt.Errorf("it is %s, warnings %q", st.State, st.Warnings)
		}
		return nil
	})
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, "status", "--server", p.url()).Output(); err != nil || !strings.Contains(string(out), "  warning: updates and deletes of public.bare") {
		t.Errorf("status = %v:\n%s", err, out)
	}

	// A login that the server takes again is used at once where the operator says so, and in a minute otherwise.
	mustExec(t, src, `CREATE ROLE nobody_of_that_name SUPERUSER LOGIN PASSWORD '`+secret+`'`)
	p.command(0, "resume", "--system", "refused", "--server", p.url())
	eventually(t, "the source whose login was refused is copied", func(ctx context.Context) error {
		got, err := table(ctx, dst, "id", "refused")
		if err == nil && len(got) != 1 {
			err = fmt.Errorf("the target has %v, want the row", got)
		}
		return err
	})

	// A row of 20 MB is a row.
	mustExec(t, src, `INSERT INTO good VALUES (2, repeat('名', 7000000))`)
	copied(t, src, dst, "good")

	// A column whose new type does not take every old value halts its route before the first row of the new shape.
	mustExec(t, src, `ALTER TABLE retyped ALTER n TYPE int USING n::int`)
	mustExec(t, src, `INSERT INTO retyped VALUES (2, 2)`)
	eventually(t, "the route of the retyped column halts", func(context.Context) error {
		r := p.routes()["retyped"]
		if r.State != ops.RouteHalted || r.Error == nil || r.Error.Code != "schema_retyped" || r.Error.Fix == "" {
			return fmt.Errorf("it is %+v, error %+v", r, r.Error)
		}
		return nil
	})
	if rows, err := table(t.Context(), dst, "id", "retyped"); err != nil || len(rows) != 1 {
		t.Errorf("the target has %v, %v, want the row that was there", rows, err)
	}

	// A slot that is dropped took changes with it: nothing is skipped silently, what was applied stays.
	p.kill()
	mustExec(t, src, `INSERT INTO cut VALUES (2, 'lost with the slot')`)
	eventually(t, "the slot is free", func(ctx context.Context) error {
		_, err := src.Exec(ctx, `SELECT pg_drop_replication_slot('bad_cutoff')`)
		return err
	})
	check := exec.Command(path, "run", "--check", "-c", p.config, "-o", "json")
	check.Env, check.Dir = append(os.Environ(), p.env...), filepath.Dir(p.config)
	if out, err := check.Output(); check.ProcessState.ExitCode() != exitUnreachable || !strings.Contains(string(out), `"slot_missing"`) {
		t.Errorf("run --check after the slot was dropped = %v, want slot_missing:\n%s", err, out)
	}
	mustExec(t, dst, `ALTER TABLE retyped ALTER n TYPE int USING n::int`) // the way out of the retyped column
	p.start()
	p.answers()
	halted("cutoff", "slot_missing")
	if _, talk := p.command(exitFailed, "resume", "--system", "cutoff", "--server", p.url()); !strings.Contains(talk, "cutoff has stopped again") ||
		!strings.Contains(talk, "slot_missing") || !strings.Contains(talk, "resume --system cutoff --accept-gap") {
		t.Errorf("resume of a source that is not mended says %s", talk)
	}
	if rows, err := table(t.Context(), dst, "id", "cut"); err != nil || len(rows) != 1 {
		t.Errorf("the target has %v, %v, want the row that was there", rows, err)
	}
	mustExec(t, src, `INSERT INTO good VALUES (3, 'the rest goes on')`)
	copied(t, src, dst, "good")
	copied(t, src, dst, "retyped")
	if err := p.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}

	// The way out that docs/operations.md tells, for this source alone, up to the row that was deleted meanwhile.
	mustExec(t, src, `DELETE FROM cut WHERE id = 1`)
	mustExec(t, dst, `TRUNCATE cut`)
	for _, pattern := range []string{"log/jetstream/*/streams/SYNCLINE_cutoff_*", "log/ends/cutoff_*"} {
		found, err := filepath.Glob(filepath.Join(p.dir, "syncline-data", pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s finds %q, %v", pattern, found, err)
		}
		if err := os.RemoveAll(found[0]); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	p.answers()
	eventually(t, "the route says that its log was replaced", func(context.Context) error {
		if r := p.routes()["cut"]; r.Error == nil || r.Error.Code != "log_replaced" {
			return fmt.Errorf("it is %+v, error %+v", r, r.Error)
		}
		return nil
	})
	if _, err := p.client().StartSync(t.Context(), ops.SyncRequest{Source: "cutoff", Entity: "cut", Routes: []string{"cut"}}); err != nil {
		t.Fatal(err)
	}
	copied(t, src, dst, "cut")
	mustExec(t, src, `INSERT INTO good VALUES (4, 'the rest goes on')`)
	mustExec(t, src, `INSERT INTO cut VALUES (3, 'so does this')`)
	copied(t, src, dst, "good")
	copied(t, src, dst, "cut")
	if err := p.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
	if strings.Contains(p.log.String(), secret) {
		t.Error("the log tells the password")
	}
}

// copied waits until the target's table equals the source's.
func copied(t *testing.T, src, dst *pgxpool.Pool, name string) {
	t.Helper()
	eventually(t, name+" is copied", func(ctx context.Context) error {
		want, err := table(ctx, src, "id, md5(t::text)", name+" t")
		if err != nil {
			return err
		}
		got, err := table(ctx, dst, "id, md5(t::text)", name+" t")
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-source +target):\n%s", diff)
		}
		return nil
	})
}
