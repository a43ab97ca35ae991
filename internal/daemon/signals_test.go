package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"syncline"
	"syncline/internal/alert"
	"syncline/internal/ops"
)

// TestSignalsAreDescribed: each signal that a part gives is one that rules can name, with the labels that it may have.
func TestSignalsAreDescribed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm := database(t, filepath.Join(dir, "crm.db"))
	database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER)`)
	d := open(t, load(t, dir, conflicts))
	defer closeDaemon(t, d)
	kinds := alert.Kinds()
	for _, s := range d.signals(t.Context()) {
		i := slices.IndexFunc(kinds, func(k alert.Kind) bool { return k.Name == s.Name })
		if i < 0 {
			t.Errorf("nobody knows the signal %s", s.Name)
			continue
		}
		for label := range s.Labels {
			if !slices.Contains(kinds[i].Labels, label) {
				t.Errorf("%s has the label %s, which is not among %v", s.Name, label, kinds[i].Labels)
			}
		}
	}
}

// TestSignalsOutliveAFailure: what could not be read is what it was.
func TestSignalsOutliveAFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm := database(t, filepath.Join(dir, "crm.db"))
	database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER)`)
	d := open(t, load(t, dir, conflicts))
	defer closeDaemon(t, d)
	before := d.signals(t.Context())
	ended, stop := context.WithCancelCause(t.Context())
	stop(errors.New("no answer"))
	if after := d.signals(ended); len(before) == 0 || len(after) != len(before) {
		t.Errorf("signals = %v, want those of before: %v", after, before)
	}
}

// TestSignalsOfTrouble: a route whose target does not answer says so, and how far behind it is; a source says when its slot is about to be lost.
func TestSignalsOfTrouble(t *testing.T) {
	t.Parallel()
	d := running(t, load(t, t.TempDir(), head+`
health: {disk_free: 0%, late: {after: 1s}}
systems:
  pos: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}
  cache: {type: redis, url: "redis://127.0.0.1:1"}
rules:
  - {id: sales, from: pos/sale, to: cache/sale}
`))
	for id := range int64(3) {
		accept(t, d, id+1)
	}
	read := func() map[string]float64 {
		values := make(map[string]float64)
		for _, s := range d.signals(t.Context()) {
			values[s.Name+" "+s.Labels["route"]+s.Labels["system"]] = s.Value
		}
		return values
	}
	var got map[string]float64
	want := map[string]float64{"breaker_open sales": 1, "lag_events sales": 3, "late_events sales": 3, "health sales": 1, "health ": 1, "paused sales": 0}
	eventually(t, "the route's trouble is among the signals", func() bool {
		got = read()
		for name, value := range want {
			if got[name] != value {
				return false
			}
		}
		return got["lag_seconds sales"] > 1
	})
	slot := syncline.SourceRisk{Slot: "s", State: syncline.SlotUnreserved, HeldBytes: 4711}
	eventually(t, "so is the slot's", func() bool {
		d.set().sources[0].asked.Store(&asked{risk: slot, at: time.Now()}) // the daemon asks, too
		got = read()
		return got["slot_at_risk pos"] == 1 && got["slot_wal_bytes pos"] == 4711 && got["health pos"] == 2 && got["health "] == 2
	})
	slot.State = syncline.SlotReserved
	eventually(t, "and its end", func() bool {
		d.set().sources[0].asked.Store(&asked{risk: slot, at: time.Now()})
		at, ok := read()["slot_at_risk pos"]
		return ok && at == 0
	})
}

// TestSignalsOfVerifications: a rule's differences are those of its last whole verification, also one from before the start, and not of one
// that looked at a few records.
func TestSignalsOfVerifications(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm, dw := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER); INSERT INTO customer VALUES (1, 'Ann', 1), (2, 'Bea', 2)`)
	c := load(t, dir, mirrored)
	d, stop := runningUntil(t, c)
	holds(t, dw, parties, "1 Ann 1", "2 Bea 2")
	differ := func(d *Daemon) (found []float64) {
		t.Helper()
		list, err := d.verifySignals(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.Name == "verify_differences" && s.Labels["rule"] == "customer" {
				found = append(found, s.Value)
			}
		}
		return found
	}
	expect := func(d *Daemon, what string, want ...float64) {
		t.Helper()
		if got := differ(d); !slices.Equal(got, want) {
			t.Errorf("%s: verify_differences = %v, want %v", what, got, want)
		}
	}
	expect(d, "before any")
	exec(t, dw, `UPDATE party SET name = 'Other' WHERE id = 1; DELETE FROM party WHERE id = 2`)
	verified(t, d, ops.VerificationRequest{})
	expect(d, "after one", 2)
	verified(t, d, ops.VerificationRequest{Sample: 1})
	expect(d, "after a sample", 2)
	stop()
	again, err := Open(t.Context(), Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer closeDaemon(t, again)
	expect(again, "after a restart", 2)
}

const mirrored = head + `
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: customer, from: crm/customer, to: dw/party, create: true}
`
