package daemon

import (
	"slices"
	"testing"

	"syncline/internal/state"
)

// TestBatchesAreAsLargeAsTheRuleSays: what waits in the log is written in batches of max_rows, and a batch that has room waits for what follows: each
// rule by its own section, though they read one source.
func TestBatchesAreAsLargeAsTheRuleSays(t *testing.T) {
	t.Parallel()
	d := running(t, load(t, t.TempDir(), head+`
systems:
  pos: {type: http, capture: {mode: push, entities: {sale: {key: [id]}}}}
  report: {type: sqlite, url: "sqlite:$DIR/report.db"}
rules:
  - {id: small, from: pos/sale, to: report/small, create: true, batch: {max_rows: 4, max_wait: 1m}}
  - {id: large, from: pos/sale, to: report/large, create: true, batch: {max_wait: 1m}}
`))
	store := database(t, d.set().config.State.Path)
	batches := func(route string) (rows []int64) {
		t.Helper()
		list, err := store.QueryContext(t.Context(), "SELECT n_read FROM journal WHERE route = ? AND n_read > 0 ORDER BY from_seq, from_idx", route)
		if err != nil {
			t.Fatal(err)
		}
		defer list.Close() //nolint:errcheck // Err tells
		for list.Next() {
			var n int64
			if err := list.Scan(&n); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, n)
		}
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	accept(t, d, 1) // the first makes the tables
	applied := func(n int64) {
		t.Helper()
		eventually(t, "all is applied", func() bool { r := report(t, d); return r.Tasks.Completed == 2*n })
	}
	applied(1)
	both := []state.Pause{{Kind: state.PauseRule, Name: "small", Reason: "test"}, {Kind: state.PauseRule, Name: "large", Reason: "test"}}
	if _, err := d.Engine().Pause(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	for id := range int64(20) { // an entry of the log each
		accept(t, d, id+2)
	}
	if err := d.Engine().Unpause(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	applied(21)
	for route, want := range map[string][]int64{"small": {1, 4, 4, 4, 4, 4}, "large": {1, 20}} {
		if got := batches(route); !slices.Equal(got, want) {
			t.Errorf("route %s wrote batches of %v, want %v", route, got, want)
		}
	}
}
