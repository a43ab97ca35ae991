package main

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"syncline/internal/ops"
	"syncline/internal/state"
)

// verification runs the command and returns its answer.
func (p *program) verification(code int, args ...string) ops.Verification {
	p.t.Helper()
	out, _ := p.command(code, append([]string{"verify", "--server", p.url(), "-o", "json"}, args...)...)
	var v ops.Verification
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		p.t.Fatal(err)
	}
	return v
}

// TestVerifyInTheRealProgram: what was done to the target is told with exit code 5; the process is killed in the middle of a comparison,
// goes on where that stood, and repairs what it found before and after. The target is then equal, and its lost tail is back.
func TestVerifyInTheRealProgram(t *testing.T) {
	t.Parallel()
	p := newProgram(t, `
systems:
  crm: {type: sqlite, url: "sqlite:crm.db", capture: {manage: true, entities: {item: {table: item}}}}
  dw: {type: sqlite, url: "sqlite:dw.db"}
rules:
  - {id: mirror, from: crm/item, to: dw/item, create: true}
`)
	do := func(name string, statements ...string) {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+filepath.Join(p.dir, name)+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // it is only a test's
		for _, s := range statements {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	until := func(what string, check func(client *ops.Client) bool) {
		t.Helper()
		client := p.client()
		for end := time.Now().Add(patience); !check(client); {
			if time.Now().After(end) {
				t.Fatal(what)
			}
			select {
			case <-t.Context().Done():
				t.Fatal(what)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	do("crm.db", `CREATE TABLE item (id INTEGER PRIMARY KEY, price DECIMAL(10,2))`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO item SELECT i, i + 0.10 FROM n`)
	p.start()
	p.ready()
	until("the copy is there", func(client *ops.Client) bool {
		v, err := client.StartVerification(t.Context(), ops.VerificationRequest{})
		for err == nil && v.Status == state.VerificationRunning {
			v, err = client.Verification(t.Context(), v.ID)
		}
		return err == nil && v.Total.Equal == 4000
	})
	do("dw.db", `UPDATE item SET price = '1.11' WHERE id = 1`, `DELETE FROM item WHERE id > 3990`, `INSERT INTO item VALUES (9000, '1')`)
	v := p.verification(exitDiffers)
	if c := v.Total; c.Different != 1 || c.Missing != 10 || c.Extra != 1 || c.Equal != 3989 {
		t.Errorf("found %+v", c)
	}
	// Killed while it compares.
	v = p.verification(exitOK, "--detach", "--rate", "500", "--repair")
	until("a part is compared", func(client *ops.Client) bool {
		now, err := client.Verification(t.Context(), v.ID)
		return err == nil && now.Total.Different == 1
	})
	p.kill()
	p.start()
	p.ready()
	until("it ends after the crash", func(client *ops.Client) bool {
		now, err := client.Verification(t.Context(), v.ID)
		return err == nil && now.Status != state.VerificationRunning
	})
	out, _ := p.command(exitOK, "verify", "show", v.ID, "--server", p.url(), "-o", "json")
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if c := v.Total; c.Repaired != 12 || c.Different != 1 || c.Missing != 10 || c.Extra != 1 || c.Equal != 3989 {
		t.Errorf("after the crash %+v", c)
	}
	if v = p.verification(exitOK); v.Total.Equal != 4000 {
		t.Errorf("at the end %+v", v.Total)
	}
	if _, errs := p.command(exitUsage, "verify", "--full", "--sample", "3"); !strings.Contains(errs, "exclude") {
		t.Errorf("a wrong call says %q", errs)
	}
}
