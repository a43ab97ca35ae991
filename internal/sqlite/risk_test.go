package sqlite

import "testing"

// TestRisk: what was captured and not confirmed stays in the application's database, and that is told.
func TestRisk(t *testing.T) {
	s := newShop(t)
	s.exec(t, "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
	s.opt.Entities = map[string]Entity{"item": {Table: "item"}}
	src := NewSource(s.opt)
	if r, err := src.Risk(t.Context()); err != nil || r.HeldChanges != 0 || r.HeldBytes != 0 || r.AtRisk() {
		t.Errorf("risk of a database that nothing was installed in = %+v, %v", r, err)
	}
	follow(t, s, "item")
	for range 150 {
		s.exec(t, "INSERT INTO item (name) VALUES ('1234567890')")
	}
	r, err := src.Risk(t.Context())
	if err != nil || r.HeldChanges != 150 || r.HeldBytes < 150*12 || r.HeldBytes > 150*200 || r.System == "" {
		t.Errorf("risk of 150 changes that nobody reads = %+v, %v", r, err)
	}
}
