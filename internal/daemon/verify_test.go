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

	"syncline"
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
		{"conflict", c.Conflict}, {"policy", c.Policy}, {"enriched", c.Enriched}, {"filtered", c.Filtered}, {"unsettled", c.Unsettled}} {
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

// tamper has a route that there is not write to the rule's object, with the order of the newest entry of the log, as a program would that
// writes there by itself.
func tamper(t *testing.T, d *Daemon, id string, changes ...syncline.Change) {
	t.Helper()
	ctx := t.Context()
	r := d.route(id)
	rogue := &route{id: "rogue", rules: r.rules, source: r.source, target: r.target, tombstone: r.tombstone}
	target, err := connectors[r.target.Type].target(d, rogue)(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close() //nolint:errcheck // it is only a test's
	object := r.compiled[0].Object
	bounds, err := r.source.log.Bounds(ctx)
	if err != nil {
		t.Fatal(err)
	}
	order := syncline.Order{Epoch: 1, Seq: bounds.Last, Index: 1 << 18}
	if g, ok := target.(syncline.Guarded); ok {
		if order.Epoch, err = g.LogEpoch(ctx, object, r.source.log.ID(), false); err != nil {
			t.Fatal(err)
		}
	}
	cursor := syncline.Cursor{Log: r.source.log.ID(), Seq: bounds.Last, Epoch: 1}
	if err := target.(syncline.CursorKeeper).Place(ctx, cursor, "rogue"); err != nil {
		t.Fatal(err)
	}
	for i := range changes {
		changes[i].Object, changes[i].Order = object, order
	}
	res, err := target.Apply(ctx, &syncline.Write{Changes: changes, Cursor: cursor, Commit: func(context.Context, syncline.Result) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range res.Outcomes {
		if o != syncline.OutcomeApplied {
			t.Fatalf("change %d of a record behind the rule's back has outcome %d", i, o)
		}
	}
}

// TestPlantedDifferencesInDocuments: what is found and repaired in tables is also found and repaired where records are documents.
func TestPlantedDifferencesInDocuments(t *testing.T) {
	cache := testserver.NewRedis(t)
	for name, target := range map[string]string{
		"redis": fmt.Sprintf("{type: redis, url: %q}", cache.URL()), "hash": fmt.Sprintf("{type: redis, url: %q, format: hash, key: 'h:{object}:{key}'}", strings.TrimSuffix(cache.URL(), "/0")+"/1"),
		"nats_kv": "{type: nats_kv, url: embedded, bucket: items}", "search": "{type: search, path: index}",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			execute(t, filepath.Join(dir, "crm.db"), `CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price DECIMAL(10,2))`,
				`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO item SELECT i, 'item ' || i, i + 0.10 FROM n`)
			d := running(t, load(t, dir, head+`systems:
  crm: {type: sqlite, url: "sqlite:`+filepath.Join(dir, "crm.db")+`", capture: {manage: true, entities: {item: {table: item}}}}
  to: `+target+`
rules: [{id: mirror, from: crm/item, to: to/item}]
`))
			eventuallyEqual(t, d, 300)
			s, err := d.describeEntity(t.Context(), d.source("crm"), "item")
			if err != nil {
				t.Fatal(err)
			}
			row := func(id int64, name, price string) syncline.Row {
				return syncline.Row{Schema: s, Values: []syncline.Value{syncline.Int(id), syncline.Text(name), syncline.Decimal(price)}}
			}
			tamper(t, d, "mirror", syncline.Change{Op: syncline.ChangePut, Row: row(1, "item 1", "1.11")}, syncline.Change{Op: syncline.ChangePut, Row: row(2, "item 2", "2.1")},
				syncline.Change{Op: syncline.ChangePut, Row: row(7, "other", "7.10")}, syncline.Change{Op: syncline.ChangePut, Row: row(900, "X", "1")},
				syncline.Change{Op: syncline.ChangeDelete, Row: row(300, "", "")}, syncline.Change{Op: syncline.ChangeDelete, Row: row(299, "", "")})
			const found = "1:different:price:STATE 299:missing::STATE 300:missing::STATE 7:different:name:STATE 900:extra::STATE"
			for _, step := range []struct {
				repair, want string
			}{
				{"off", "done equal=296 missing=2 extra=1 different=2 " + strings.ReplaceAll(found, "STATE", "found")},
				{"auto", "done equal=296 missing=2 extra=1 different=2 repaired=5 " + strings.ReplaceAll(found, "STATE", "repaired")},
				{"off", "done equal=300"},
			} {
				v := verified(t, d, ops.VerificationRequest{Repair: step.repair})
				if got := verdictIn(t, d, &v); got != step.want {
					t.Errorf("verification with repair %s:\n got %s\nwant %s", step.repair, got, step.want)
				}
			}
		})
	}
}

// TestWhatCannotBeCompared is said, and is no failure of what can.
func TestWhatCannotBeCompared(t *testing.T) {
	dir := t.TempDir()
	execute(t, filepath.Join(dir, "crm.db"), `CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)`, `CREATE TABLE note (text TEXT)`, `INSERT INTO item VALUES (1, 'a')`)
	d := running(t, load(t, dir, head+`systems:
  crm: {type: sqlite, url: "sqlite:`+filepath.Join(dir, "crm.db")+`", capture: {manage: true, entities: {item: {table: item}, note: {table: note}}}}
  pos: {type: http, capture: {mode: push, entities: {order: {key: [id]}}}}
  dw: {type: sqlite, url: "sqlite:`+filepath.Join(dir, "dw.db")+`"}
  partner: {type: webhook, url: "http://127.0.0.1:1/in", allow_private: true}
rules:
  - {id: mirror, from: crm/item, to: dw/item, create: true}
  - {id: notes, from: crm/note, to: dw/note, create: true}
  - {id: orders, from: pos/order, to: dw/orders, create: true}
  - {id: told, from: crm/item, to: partner}
`))
	eventually(t, "the copy is applied", func() bool {
		v := verified(t, d, ops.VerificationRequest{Rules: []string{"mirror"}})
		return v.Total.Equal == 1
	})
	v := verified(t, d, ops.VerificationRequest{})
	var got []string
	for _, p := range v.Parts {
		got = append(got, strings.TrimSpace(p.Rule+" "+string(p.Phase)+" "+p.Code))
	}
	want := "mirror done; notes skipped verify_keyless; orders skipped source_cannot_read; told skipped target_unreadable"
	if s := strings.Join(got, "; "); s != want || v.Status != state.VerificationDone {
		t.Errorf("a verification of everything is %s: %s, want %s", v.Status, s, want)
	}
	for _, test := range []struct {
		q    ops.VerificationRequest
		code string
	}{
		{ops.VerificationRequest{Rules: []string{"mirrors"}}, "rule_not_found"},
		{ops.VerificationRequest{MaxRepair: "a few"}, "limit_invalid"},
		{ops.VerificationRequest{Keys: []string{"1"}, Sample: 3}, "request_invalid"},
		{ops.VerificationRequest{Keys: []string{"%G"}}, "bad_key"},
	} {
		if _, err := d.Engine().StartVerification(t.Context(), test.q); syncline.CodeOf(err) != test.code {
			t.Errorf("StartVerification(%+v) = %v, want %s", test.q, err, test.code)
		}
	}
	if err := d.Engine().CancelVerification(t.Context(), v.ID); syncline.CodeOf(err) != "verification_over" {
		t.Errorf("cancelling what is over = %v", err)
	}
}
