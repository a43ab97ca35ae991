package pgtarget

import (
	"context"
	"testing"
	"time"

	"syncline"
)

// TestRoomThatWasMadeIsFound: who reads why a record is refused alters the table and has it tried again.
func TestRoomThatWasMadeIsFound(t *testing.T) {
	for name, c := range map[string]struct{ column, value, code, room string }{
		"more digits": {"int", "3000000000", "value_out_of_range", "bigint"},
		"more behind": {"numeric(6,2)", "1.234", "value_inexact", "numeric(6,3)"},
		"other kind":  {"int", "many", "value_invalid", "text"},
	} {
		for _, ordered := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, Options{PostgresSource: true}, "CREATE TABLE a (id int PRIMARY KEY, v "+c.column+")")
				s := cols(1, "id", "v")
				change := put("a", s, "1", c.value)
				wantError(t, r.apply(ordered, change), syncline.Rejected, c.code)
				if _, err := r.c.Exec(t.Context(), "ALTER TABLE a ALTER v TYPE "+c.room); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				for err := r.apply(ordered, change); err != nil; err = r.apply(ordered, change) {
					if ctx.Err() != nil {
						t.Fatalf("still refused: %v", err)
					}
				}
				r.rows("SELECT * FROM a", "(1,"+c.value+")")
			})
		}
	}
}
