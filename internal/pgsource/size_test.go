package pgsource

import "testing"

// TestSizeOfATableThatHasGrownSinceItWasAnalysed: what the planner has counted is of long ago, and the blocks that there are now tell better.
func TestSizeOfATableThatHasGrownSinceItWasAnalysed(t *testing.T) {
	d := newDB(t, "CREATE TABLE grown (id int PRIMARY KEY, name text) WITH (autovacuum_enabled = false)",
		"INSERT INTO grown SELECT n, 'name ' || n FROM generate_series(1, 1000) n", "ANALYZE grown",
		"INSERT INTO grown SELECT n, 'name ' || n FROM generate_series(1001, 150000) n")
	src, err := New(d.options("grown"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := src.Size(t.Context(), "grown"); err != nil || n < 120_000 || n > 180_000 {
		t.Errorf("Size = %d, %v, want about 150000", n, err)
	}
}
