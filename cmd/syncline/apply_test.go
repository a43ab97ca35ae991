package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"syncline/internal/failpoint"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// holds waits until a query of the report has this answer.
func holds(t *testing.T, db *sql.DB, query, want string) {
	t.Helper()
	eventually(t, query, func(ctx context.Context) error {
		var got sql.NullString
		if err := db.QueryRowContext(ctx, query).Scan(&got); err != nil {
			return err
		}
		if got.String != want {
			return fmt.Errorf("%s, want %s", got.String, want)
		}
		return nil
	})
}

func openReport(t *testing.T, p *program) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(p.dir, "report.db")+"?_pragma=busy_timeout(10000)&mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

const ids = "SELECT group_concat(id, ' ') FROM (SELECT id FROM %s ORDER BY id)"

// TestApply changes the rules of a server that works: what is not concerned is not touched, and what cannot work changes nothing.
func TestApply(t *testing.T) {
	p := newProgram(t, shopConfig)
	shop := makeShop(t, filepath.Join(p.dir, "shop.db"))
	p.start()
	p.ready()
	p.caughtUp()
	report := openReport(t, p)
	holds(t, report, fmt.Sprintf(ids, "cheap"), "1 2")
	before := p.routes()["item"]
	own, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(code int, config string, more ...string) (string, string) {
		t.Helper()
		return p.command(code, append([]string{"apply", "-c", config, "--server", p.url()}, more...)...)
	}

	// What cannot work changes nothing.
	for _, test := range []struct {
		name, want string
		code       int
		edit       []string
	}{
		{"invalid", "edited.yaml:9:", exitConfig, []string{"report/cheap", "rapport/cheap"}},
		{"no such directory", "system copies: database_unavailable", exitUnreachable, []string{"rules:", "  copies: {type: sqlite, url: \"sqlite:missing/copies.db\"}\nrules:\n  - {id: copy, from: shop/item, to: copies/item}"}},
		{"no such column", "rule cheap: ", exitUnreachable, []string{"after.price < 10", "after.prise < 10"}},
		{"another listener", "restart_needed", exitFailed, []string{"127.0.0.1:", "127.0.0.2:"}},
	} {
		if _, talk := apply(test.code, p.edited(test.edit...)); !strings.Contains(talk, test.want) {
			t.Errorf("%s: %s, want %s", test.name, talk, test.want)
		}
	}
	if c := p.atWork(); c.Version != 1 || c.By != "start" {
		t.Errorf("after refusals, version %d by %s is at work, want 1 by start", c.Version, c.By)
	}

	// A rule more, a condition changed.
	draft := p.edited("< 10", "< 5", "rules:", "rules:\n  - {id: copy, from: shop/item, to: report/copy, create: true}")
	out, _ := apply(exitOK, draft, "--version", "1")
	if !strings.Contains(out, "+ rule copy: added") || !strings.Contains(out, "Version 2 is at work, applied by local.") {
		t.Errorf("apply: %s", out)
	}
	execute(t, shop, "INSERT INTO item VALUES (4, 4), (5, 7)")
	holds(t, report, fmt.Sprintf(ids, "copy"), "1 2 3 4 5")
	holds(t, report, fmt.Sprintf(ids, "cheap"), "1 2 4")
	p.caughtUp()
	after := p.routes()
	if r := after["item"]; r.Since != before.Since || r.Cursor.Epoch != before.Cursor.Epoch {
		t.Errorf("a route that is not concerned was touched: %+v, was %+v", r, before)
	}
	if w := strings.Join(after["cheap"].Warnings, " "); !strings.Contains(w, "records of both versions") {
		t.Errorf("warnings of a route whose condition was changed: %q", w)
	}
	if _, talk := apply(exitFailed, p.config, "--version", "1"); !strings.Contains(talk, "config_stale") {
		t.Errorf("a plan of version 1 was applied to version 2: %s", talk)
	}
	if out, _ := apply(exitOK, draft); !strings.HasPrefix(out, "Nothing changes.") || p.atWork().Version != 2 {
		t.Errorf("the same again: %s", out)
	}

	// Without the rule nothing more is applied; when it is back, it goes on where it stopped.
	apply(exitOK, p.config)
	execute(t, shop, "DELETE FROM item WHERE id = 1")
	holds(t, report, fmt.Sprintf(ids, "item"), "2 3 4 5")
	p.caughtUp()
	holds(t, report, fmt.Sprintf(ids, "copy"), "1 2 3 4 5")
	if out, _ := p.command(exitOK, "plan", "-c", draft, "--server", p.url()); !strings.Contains(out, "route copy goes on") {
		t.Errorf("plan with a rule that was there before: %s", out)
	}
	apply(exitOK, draft)
	holds(t, report, fmt.Sprintf(ids, "copy"), "2 3 4 5")

	// A restart uses the file, and says so; a signal applies it.
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	p.start()
	p.ready()
	if c := p.atWork(); c.Version != 5 || c.By != "start" || !strings.Contains(p.log.String(), "not the one that was applied last") {
		t.Errorf("after a restart version %d by %s is at work: %s", c.Version, c.By, p.log)
	}
	p.signal([]byte("version: 1\nnonsense: true\n"))
	eventually(t, "the log tells of a file that cannot be applied", func(context.Context) error {
		if told := strings.Contains(p.log.String(), "code=config_invalid"); !told || p.atWork().Version != 5 {
			return fmt.Errorf("told: %v, version %d", told, p.atWork().Version)
		}
		return nil
	})
	p.signal([]byte(strings.ReplaceAll(string(own), "< 10", "< 100")))
	eventually(t, "a signal applies the file", func(context.Context) error {
		if c := p.atWork(); c.Version != 6 || c.By != "SIGHUP" {
			return fmt.Errorf("version %d by %s", c.Version, c.By)
		}
		return nil
	})
	eventually(t, "the audit log has both signals", func(ctx context.Context) error {
		calls, err := p.client().Audit(ctx, state.CallFilter{Who: "SIGHUP"}, 10)
		if err == nil && (len(calls) != 2 || calls[0].Status != http.StatusOK || calls[0].Operation != "apply-config") {
			err = fmt.Errorf("it has %+v", calls)
		}
		return err
	})
	execute(t, shop, "INSERT INTO item VALUES (6, 50)")
	holds(t, report, fmt.Sprintf(ids, "cheap"), "2 4 6")
}

// atWork is the configuration at work.
func (p *program) atWork() ops.RunningConfig {
	p.t.Helper()
	c, err := p.client().Config(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// signal writes the program's own file and tells it.
func (p *program) signal(text []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.config, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
}

// TestACrashWhileAConfigurationIsApplied leaves routes that know where they stand, whichever file the next start uses.
func TestACrashWhileAConfigurationIsApplied(t *testing.T) {
	for _, name := range failpoint.Reload {
		for _, next := range []string{"the old file", "the new file"} {
			t.Run(name+", then "+next, func(t *testing.T) {
				t.Parallel()
				p := newProgram(t, shopConfig)
				shop := makeShop(t, filepath.Join(p.dir, "shop.db"))
				p.start("SYNCLINE_FAILPOINT=" + name)
				p.ready()
				p.caughtUp()
				draft := p.edited("< 10", "< 5", "to: report/item", "to: report/goods", "rules:", "rules:\n  - {id: copy, from: shop/item, to: report/copy, create: true}")
				p.command(exitUnreachable, "apply", "-c", draft, "--server", p.url())
				if err := p.died(); err == nil {
					t.Fatal("the process was not killed")
				}
				execute(t, shop, "INSERT INTO item VALUES (4, 4), (5, 7)")
				execute(t, shop, "DELETE FROM item WHERE id = 1")
				want := map[string]string{"item": "2 3 4 5", "cheap": "2 4 5"}
				if next == "the new file" {
					text, err := os.ReadFile(draft)
					if err == nil {
						err = os.WriteFile(p.config, text, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
					want = map[string]string{"goods": "2 3 4 5", "cheap": "2 4", "copy": "2 3 4 5"}
				}
				p.start()
				p.ready()
				p.caughtUp()
				report := openReport(t, p)
				for table, rows := range want {
					holds(t, report, fmt.Sprintf(ids, table), rows)
				}
			})
		}
	}
}
