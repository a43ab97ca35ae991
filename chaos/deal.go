package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Deals are records that two systems write: the source's table, and clients that push events. Both have a route to one table of the warehouse, whose conflict
// section decides. Whatever is heard of first, how often, and wherever anything dies: what it decides follows from what both have said.
const dealKeys = 8

// deals are what clients have said of them. Nobody removes one.
type deals struct {
	mu     sync.Mutex
	newest map[int64]deal
	// vague: what the source said in a gap was read again without its time, so that either's last word may stand.
	vague bool
}

// deal is the last word of a client about a record.
type deal struct {
	ver int64
	at  time.Time
}

// dealYAML is the configuration of both rules.
func dealYAML(s shape) (rules string) {
	policy := "{detect: [data], strategy: last_write_wins}"
	if s.Ranked {
		policy = "{detect: [data], strategy: source_priority, sources: [till, crm]}"
	}
	for _, from := range []string{"crm", "till"} {
		rules += fmt.Sprintf("  - {id: deal-%s, from: %[1]s/deal, to: dw/deal, conflict: %s, batch: {max_rows: %d}}\n", from, policy, s.Batch)
	}
	return rules
}

// putDeal writes a deal at the source.
func (t *txn) putDeal(ctx context.Context, k int) error {
	ver, val := t.next("deal", fmt.Sprint(k))
	_, err := t.tx.Exec(ctx, `INSERT INTO deal VALUES ($1, $2, $3) ON CONFLICT (k) DO UPDATE SET ver = EXCLUDED.ver, val = EXCLUDED.val`, k, ver, val)
	return err
}

// answered takes note of what a client has said: of one client the later word is the one that was sent later.
func (d *deals) answered(key int64, last deal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.newest[key] = last
}

// blur has either's last word stand, from now on.
func (d *deals) blur() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.vague = true
}

// dealsDiffer compares the warehouse with what the policy makes of both last words.
func (w *world) dealsDiffer(ctx context.Context) error {
	type row struct {
		K, Ver int64
		At     time.Time
	}
	rows, err := w.src.pool.Query(ctx, `SELECT k, ver, pg_xact_commit_timestamp(xmin) FROM deal`)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return err
	}
	source := make(map[int64]deal)
	for _, r := range list {
		source[r.K] = deal{r.Ver, r.At}
	}
	rows, err = w.dst.pool.Query(ctx, `SELECT k, ver FROM deal`)
	if err != nil {
		return err
	}
	got := make(map[int64]int64)
	var k, ver int64
	if _, err := pgx.ForEachRow(rows, []any{&k, &ver}, func() error { got[k] = ver; return nil }); err != nil {
		return err
	}
	d := &w.pushed.deals
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range int64(dealKeys) {
		ours, theirs := source[k], d.newest[k]
		want := ours.ver
		if theirs.ver > 0 && (w.plan.Shape.Ranked || theirs.at.After(ours.at)) {
			want = theirs.ver
		}
		if got[k] != want && !(d.vague && (got[k] == ours.ver || got[k] == theirs.ver)) {
			return fmt.Errorf("warehouse: deal %d is at version %d, want %d: the source has said %d at %s, and clients %d at %s", k, got[k], want,
				ours.ver, ours.at.UTC().Format(time.RFC3339Nano), theirs.ver, theirs.at.Format(time.RFC3339Nano))
		}
	}
	return nil
}
