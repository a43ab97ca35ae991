package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// TestNoticesOfNewConflicts: who is to be told of conflicts for a person is told once of those that wait already, and of each that comes,
// how many are new and how many wait; of nothing else.
func TestNoticesOfNewConflicts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm, dw := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER); INSERT INTO customer VALUES (1, 'Ann', 1), (2, 'Bea', 2), (3, 'Cho', 3)`)
	d, _ := runningUntil(t, load(t, dir, conflicts))
	holds(t, dw, parties, "1 Ann 1", "2 Bea 2", "3 Cho 3")
	follow := func() (next func() string) {
		n, err := d.notices(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n.every = 0
		ctx, stop := context.WithCancel(t.Context())
		told, ended := make(chan []newConflicts), make(chan struct{})
		go func() {
			defer close(ended)
			n.run(ctx, func(list []newConflicts) {
				select {
				case told <- list:
				case <-ctx.Done():
				}
			})
		}()
		t.Cleanup(func() { stop(); <-ended })
		return func() string {
			t.Helper()
			select {
			case list := <-told:
				return fmt.Sprint(list)
			case <-time.After(30 * time.Second):
				t.Fatal("nobody was told")
				return ""
			}
		}
	}
	told := follow()
	exec(t, dw, `UPDATE party SET name = 'Theirs' WHERE id < 3`)
	exec(t, crm, `UPDATE customer SET name = 'Ours' WHERE id = 3`) // none
	exec(t, crm, `UPDATE customer SET name = 'Ours' WHERE id = 1`)
	if got, want := told(), "[{customer 1 1}]"; got != want {
		t.Errorf("told = %s, want %s", got, want)
	}
	late := follow()
	if got, want := late(), "[{customer 0 1}]"; got != want {
		t.Errorf("one that begins now is told %s, want %s", got, want)
	}
	exec(t, crm, `UPDATE customer SET name = 'Ours' WHERE id = 2`)
	for _, next := range []func() string{told, late} {
		if got, want := next(), "[{customer 1 2}]"; got != want {
			t.Errorf("told = %s, want %s", got, want)
		}
	}
}
