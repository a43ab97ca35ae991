package daemon

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/ops"
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

// TestARepairSendsWhatItsOwnRuleLacks: what another rule of the same verification may not repair stays as it was found.
func TestARepairSendsWhatItsOwnRuleLacks(t *testing.T) {
	t.Parallel()
	text, target := itemsIn(t, t.TempDir(), 40, ", verify: {max_repair: 1}}, {id: other, from: crm/item, to: dw/other, create: true")
	d := running(t, load(t, t.TempDir(), text))
	eventuallyEqual(t, d, 80)
	execute(t, target, `UPDATE item SET name = 'spoilt' WHERE id IN (1, 2)`, `UPDATE other SET name = 'spoilt' WHERE id IN (2, 3)`)
	v := verified(t, d, ops.VerificationRequest{Repair: "auto"})
	var parts []string
	for _, p := range v.Parts {
		parts = append(parts, fmt.Sprintf("%s: %d differ, %d repaired, %s", p.Rule, p.Different, p.Repaired, p.Code))
	}
	slices.Sort(parts)
	if diff := cmp.Diff([]string{"mirror: 2 differ, 0 repaired, repair_refused", "other: 2 differ, 2 repaired, "}, parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	list, _, err := d.Engine().Differences(t.Context(), v.ID, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range list {
		if repaired := x.State == differenceRepaired; repaired != (x.Rule == "other") {
			t.Errorf("record %s of rule %s is %s", x.Key, x.Rule, x.State)
		}
	}
}

// TestARecordThatIsNamedTwiceIsOne: it differs once, and once it is repaired nothing differs any more.
func TestARecordThatIsNamedTwiceIsOne(t *testing.T) {
	t.Parallel()
	text, target := itemsIn(t, t.TempDir(), 40, "")
	d := running(t, load(t, t.TempDir(), text))
	eventuallyEqual(t, d, 40)
	execute(t, target, `UPDATE item SET name = 'spoilt' WHERE id = 1`)
	v := verified(t, d, ops.VerificationRequest{Keys: []string{"1", "2", "1", "%31"}, Repair: "auto"})
	const want = "done equal=1 different=1 repaired=1 1:different:name:repaired"
	if got := verdictIn(t, d, &v); got != want || v.Differences != 0 {
		t.Errorf("verification = %s with %d differences, want %s", got, v.Differences, want)
	}
}
