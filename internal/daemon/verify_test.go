package daemon

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/testserver"
	"syncline/internal/verify"
)

// verified runs a verification to its end.
func verified(t *testing.T, d *Daemon, q ops.VerificationRequest) ops.Verification {
	t.Helper()
	v, err := d.Engine().StartVerification(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the verification ends", func() bool {
		if v, err = d.Engine().Verification(t.Context(), v.ID); err != nil {
			t.Fatal(err)
		}
		return v.Status != state.VerificationRunning
	})
	return v
}

// verdict is what a verification found, in a few words: counts, then the records.
func verdictIn(t *testing.T, d *Daemon, v *ops.Verification) string {
	t.Helper()
	c := v.Total
	words := []string{v.Status, fmt.Sprintf("equal=%d", c.Equal)}
	for _, n := range []struct {
		name string
		n    int64
	}{{"missing", c.Missing}, {"extra", c.Extra}, {"different", c.Different}, {"repaired", c.Repaired}, {"parked", c.Parked}, {"held", c.Held},
		{"conflict", c.Conflict}, {"policy", c.Policy}, {"filtered", c.Filtered}, {"unsettled", c.Unsettled}} {
		if n.n != 0 {
			words = append(words, fmt.Sprintf("%s=%d", n.name, n.n))
		}
	}
	for i := range v.Parts {
		if v.Parts[i].Code != "" {
			words = append(words, v.Parts[i].Code+": "+v.Parts[i].Error)
		}
	}
	list, _, err := d.Engine().Differences(t.Context(), v.ID, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, x := range list {
		found = append(found, strings.TrimRight(fmt.Sprintf("%s:%s:%s:%s", x.Key, x.Kind, strings.Join(x.Fields, "+"), x.State), ":"))
	}
	slices.Sort(found)
	return strings.Join(append(words, found...), " ")
}

// eventuallyEqual waits until everything that is in the log is applied, as a verification sees it.
func eventuallyEqual(t *testing.T, d *Daemon, equal int64) {
	t.Helper()
	var v ops.Verification
	defer func() {
		if t.Failed() {
			t.Log(verdictIn(t, d, &v), v.Parts[0].Notes)
		}
	}()
	eventually(t, "the first copy is applied", func() bool {
		v = verified(t, d, ops.VerificationRequest{})
		return v.Total.Equal == equal && v.Differences == 0
	})
}

func queryPostgres(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it is only a test's
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestPlantedDifferences: what somebody does to a target behind the rule's back is found, named, repaired, and then gone.
func TestPlantedDifferences(t *testing.T) {
	pg := testserver.NewPostgres(t, "wal_level=logical")
	const table = `CREATE TABLE item (id int PRIMARY KEY, name text, price numeric(10,2), at timestamptz)`
	const fill = `INSERT INTO item SELECT n, 'item ' || n, n + 0.10, '2026-01-31 09:00:00.5+00' FROM generate_series(1, 300) n`
	for _, test := range []struct {
		name           string
		source, target func(dir string) (config string, do func(...string))
	}{
		{"postgres", func(string) (string, func(...string)) {
			url := pg.Database(t)
			return fmt.Sprintf("{type: postgres, url: %q, capture: {manage: true, slot: %s, entities: {item: {table: public.item}}}}", url, "s"+strings.ToLower(rand.Text()[:8])), func(s ...string) { queryPostgres(t, url, s...) }
		}, func(string) (string, func(...string)) {
			url := pg.Database(t)
			return fmt.Sprintf("{type: postgres, url: %q}", url), func(s ...string) { queryPostgres(t, url, s...) }
		}},
		{"sqlite", func(string) (string, func(...string)) {
			url := pg.Database(t)
			return fmt.Sprintf("{type: postgres, url: %q, capture: {manage: true, slot: %s, entities: {item: {table: public.item}}}}", url, "s"+strings.ToLower(rand.Text()[:8])), func(s ...string) { queryPostgres(t, url, s...) }
		}, func(dir string) (string, func(...string)) {
			path := filepath.Join(dir, "dw.db")
			return fmt.Sprintf("{type: sqlite, url: \"sqlite:%s\"}", path), func(s ...string) { execute(t, path, s...) }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			source, at := test.source(dir)
			at(table, fill)
			target, do := test.target(dir)
			d := running(t, load(t, dir, head+fmt.Sprintf("systems:\n  crm: %s\n  dw: %s\nrules:\n  - {id: mirror, from: crm/item, to: dw/item, create: true}\n", source, target)))
			eventuallyEqual(t, d, 300)
			do(`UPDATE item SET price = 1.11 WHERE id = 1`, `UPDATE item SET name = 'other' WHERE id = 7`, `DELETE FROM item WHERE id > 295`,
				`INSERT INTO item (id, name, price, at) VALUES (900, 'X', 1, '2026-01-31 09:00:00+00')`)
			const found = "1:different:price 296:missing 297:missing 298:missing 299:missing 300:missing 7:different:name 900:extra"
			marked := func(state string) string { return strings.ReplaceAll(found, " ", ":"+state+" ") + ":" + state }
			for _, step := range []struct {
				q    ops.VerificationRequest
				want string
			}{
				{ops.VerificationRequest{}, "done equal=293 missing=5 extra=1 different=2 " + strings.ReplaceAll(marked("found"), "missing:found", "missing::found")},
				{ops.VerificationRequest{Keys: []string{"1", "2"}}, "done equal=1 different=1 1:different:price:found"},
				{ops.VerificationRequest{Repair: "auto", MaxRepair: "1%"}, "refused"},
				{ops.VerificationRequest{Repair: "auto"}, "done equal=293 missing=5 extra=1 different=2 repaired=8 " + strings.ReplaceAll(marked("repaired"), "missing:repaired", "missing::repaired")},
				{ops.VerificationRequest{}, "done equal=300"},
				{ops.VerificationRequest{Sample: 50}, "done equal=50"},
			} {
				v := verified(t, d, step.q)
				got := strings.ReplaceAll(strings.ReplaceAll(verdictIn(t, d, &v), "extra::", "extra:"), "missing::", "missing:")
				want := strings.ReplaceAll(step.want, "missing::", "missing:")
				if step.want == "refused" {
					if v.Parts[0].Code != "repair_refused" || v.Total.Repaired != 0 || v.Parts[0].Phase != verify.PhaseDone {
						t.Errorf("a repair beyond its limit: %s", got)
					}
					continue
				}
				if got != want {
					t.Errorf("verification %+v:\n got %s\nwant %s", step.q, got, want)
				}
			}
		})
	}
}
