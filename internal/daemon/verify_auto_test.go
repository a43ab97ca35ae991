package daemon

import (
	"path/filepath"
	"strings"
	"testing"

	"syncline/internal/verify"
)

// TestWhatIsComparedAllTheTimeIsRepaired by the rule's own word, and within its own bound: beyond it nothing is sent, and the verification says why.
func TestWhatIsComparedAllTheTimeIsRepaired(t *testing.T) {
	for _, test := range []struct {
		name, max string
		refused   bool
	}{{"within the bound", "5", false}, {"beyond the bound", "4", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			text, target := itemsIn(t, dir, 40, ", verify: {max_repair: 40}")
			d, stop := runningUntil(t, read(t, dir, text))
			eventuallyEqual(t, d, 40)
			stop()
			execute(t, target, `UPDATE item SET name = 'other' WHERE id IN (1, 2)`, `DELETE FROM item WHERE id IN (3, 4)`, `INSERT INTO item VALUES (900, 'X')`)
			d = running(t, read(t, dir, strings.Replace(text, "max_repair: 40", "continuous: 100000, repair: auto, max_repair: "+test.max, 1)))
			var p verify.Part
			eventually(t, "a round is over", func() bool {
				v, err := d.Engine().Verification(t.Context(), steadyID("mirror"))
				if err != nil || v.Status == "running" {
					return false
				}
				p = v.Parts[0]
				return true
			})
			r, err := d.Engine().Routes(t.Context())
			if err != nil || len(r[0].Verified) != 1 {
				t.Fatalf("what the route knows = %+v, %v", r, err)
			}
			known := r[0].Verified[0].Differences
			db := database(t, filepath.Join(dir, "dw.db"))
			const rows = `SELECT count(*) || ' ' || sum(name = 'item ' || id) FROM item`
			if test.refused {
				if p.Code != "repair_refused" || p.Fix == "" || p.Repaired != 0 || p.Differences() != 5 || known != 5 {
					t.Errorf("beyond its bound: %s %q, %d repaired, %d differ, the route knows of %d", p.Code, p.Fix, p.Repaired, p.Differences(), known)
				}
				holds(t, db, rows, "39 36")
				return
			}
			if p.Code != "" || p.Repaired != 5 || p.Differences() != 0 || known != 0 {
				t.Errorf("within its bound: %s %s, %d repaired, %d differ, the route knows of %d", p.Code, p.Error, p.Repaired, p.Differences(), known)
			}
			holds(t, db, rows, "40 40")
		})
	}
}
