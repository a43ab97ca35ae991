package sqlite

import "testing"

// TestSizesAreCounted, whatever the numbers of the rows are: random ones span more than a number holds.
func TestSizesAreCounted(t *testing.T) {
	s := newShop(t)
	s.exec(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO item VALUES (-9223372036854775808, 'a'), (5, 'b'), (9223372036854775807, 'c')")
	s.opt.Entities = map[string]Entity{"item": {Table: "item"}}
	if n, err := NewSource(s.opt).Size(t.Context(), "item"); err != nil || n != 3 {
		t.Errorf("Size = %d, %v, want 3", n, err)
	}
	if n, err := NewSource(s.opt).Estimate(t.Context(), "item"); err != nil || n != 3 {
		t.Errorf("Estimate = %d, %v, want 3", n, err)
	}
}
