package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// itemsIn is a source with that many items and a target, and the rest of the configuration of one rule between them.
func itemsIn(t *testing.T, dir string, items int, rule string) (config, target string) {
	t.Helper()
	source, target := filepath.Join(dir, "crm.db"), filepath.Join(dir, "dw.db")
	execute(t, source, `CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)`,
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO item SELECT i, 'item ' || i FROM n`, items))
	return head + `systems:
  crm: {type: sqlite, url: "sqlite:` + source + `", capture: {manage: true, entities: {item: {table: item}}}}
  dw: {type: sqlite, url: "sqlite:` + target + `"}
rules: [{id: mirror, from: crm/item, to: dw/item, create: true` + rule + `}]
`, target
}

// TestARuleIsComparedAllTheTime: its route says how much of it was compared lately and what differs, and so do the signals. What the rule
// lets be repaired is, and a configuration without it ends that.
func TestARuleIsComparedAllTheTime(t *testing.T) {
	dir := t.TempDir()
	text, target := itemsIn(t, dir, 40, ", verify: {continuous: 100000, repair: auto, max_repair: 50%}")
	d := running(t, load(t, dir, text))
	known := func() ops.Verified {
		r, err := d.Engine().Routes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(r[0].Verified) == 0 {
			return ops.Verified{}
		}
		return r[0].Verified[0]
	}
	// The first round may have begun before the copy: what is on its way then is not told as a difference.
	eventually(t, "a round is done", func() bool { v := known(); return v.At != nil && v.Differences == 0 })
	if v := known(); v.Verification != "continuous-mirror" || v.LatelySeconds != verify.Lately.Seconds() {
		t.Errorf("what is known = %+v", v)
	}
	if err := d.Engine().CancelVerification(t.Context(), "continuous-mirror"); syncline.CodeOf(err) != "verification_continuous" {
		t.Errorf("cancelling it = %v", err)
	}
	signals := func() (differ, age float64) {
		age = -1
		for _, s := range d.signals(t.Context()) {
			switch s.Name {
			case "verify_differences":
				differ = s.Value
			case "verify_age_seconds":
				age = s.Value
			}
		}
		return differ, age
	}
	eventually(t, "the copy is there", func() bool {
		v := verified(t, d, ops.VerificationRequest{})
		return v.Total.Equal == 40
	})
	execute(t, target, `DELETE FROM item WHERE id = 7`)
	if v := verified(t, d, ops.VerificationRequest{}); v.Differences != 1 {
		t.Fatalf("a verification finds %d differences", v.Differences)
	}
	if differ, age := signals(); differ != 1 || age < 0 {
		t.Errorf("signals = %v differences, age %v", differ, age)
	}
	if v := known(); v.Differences != 1 {
		t.Errorf("the route knows of %d differences", v.Differences)
	}
	v := verified(t, d, ops.VerificationRequest{Repair: "auto"})
	if differ, _ := signals(); v.Total.Repaired != 1 || differ != 0 {
		t.Errorf("a repair of %d leaves %v", v.Total.Repaired, differ)
	}
}

// TestAVerificationGoesOnAfterAStop where it stood, with what it had found.
func TestAVerificationGoesOnAfterAStop(t *testing.T) {
	dir := t.TempDir()
	text, target := itemsIn(t, dir, 10_000, "")
	c := load(t, dir, text)
	d, stop := runningUntil(t, c)
	eventuallyEqual(t, d, 10_000)
	execute(t, target, `UPDATE item SET name = 'other' WHERE id = 5`, `DELETE FROM item WHERE id = 9999`, `INSERT INTO item VALUES (90000, 'X')`)
	v, err := d.Engine().StartVerification(t.Context(), ops.VerificationRequest{Rate: 4000})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "some pages are compared and saved", func() bool {
		saved, err := d.state.Verification(t.Context(), v.ID)
		return err == nil && strings.Contains(string(saved.Progress), `"different":1`)
	})
	stop()
	d = running(t, c)
	if v, err = d.Engine().Verification(t.Context(), v.ID); err != nil || v.Status != "running" {
		t.Fatalf("after the stop it is %s, %v", v.Status, err)
	}
	if v.Total.Source == 0 || v.Total.Source >= 10_000 {
		t.Errorf("after the stop %d records are compared", v.Total.Source)
	}
	eventually(t, "the verification ends", func() bool {
		v, err = d.Engine().Verification(context.WithoutCancel(t.Context()), v.ID)
		return err == nil && v.Status != "running"
	})
	const want = "done equal=9998 missing=1 extra=1 different=1 5:different:name:found 90000:extra::found 9999:missing::found"
	if got := verdictIn(t, d, &v); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestWhatWasFoundOutlivesAReload: a configuration that makes the route anew cuts the comparison; what was counted before that and not saved
// yet is not found again, and is among the differences all the same.
func TestWhatWasFoundOutlivesAReload(t *testing.T) {
	dir := t.TempDir()
	text, target := itemsIn(t, dir, 500, "")
	files := func(text string) []config.File { return []config.File{{Name: "syncline.yaml", Text: []byte(text)}} }
	d, err := Open(t.Context(), Options{Config: read(t, dir, text), Files: files(text), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, d)
	t.Cleanup(func() { stop(); closeDaemon(t, d) })
	eventuallyEqual(t, d, 500)
	execute(t, target, `UPDATE item SET name = 'other' WHERE id = 5`)
	v, err := d.Engine().StartVerification(t.Context(), ops.VerificationRequest{Rate: 200}) // a page, and a second until the next one
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a page is compared", func() bool {
		v, err = d.Engine().Verification(t.Context(), v.ID)
		return err == nil && v.Total.Different == 1
	})
	if _, err := d.Apply(t.Context(), Application{By: "test", Files: files(strings.Replace(text, "create: true", "create: true, batch: {max_rows: 77}", 1))}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the verification ends", func() bool {
		v, err = d.Engine().Verification(t.Context(), v.ID)
		return err == nil && v.Status != state.VerificationRunning
	})
	if got, want := verdictIn(t, d, &v), "done equal=499 different=1 5:different:name:found"; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestWhatIsKeptIsBounded: records beyond the bound are left out, what became of one that is kept is not.
func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	job := &verification{kept: keepDifferences - 1, unsaved: []state.Difference{
		{Key: "1", State: differenceFound}, {Key: "2", State: differenceFound}, {Key: "3", State: differenceRepaired}}}
	keep, found := job.keep()
	if len(keep) != 2 || keep[0].Key != "1" || keep[1].Key != "3" || found != 1 {
		t.Errorf("kept are %v, of which %d are new", keep, found)
	}
}

// TestSteadyVerificationsTakeNoRoom: however many rules are compared all the time, others are verified.
func TestSteadyVerificationsTakeNoRoom(t *testing.T) {
	t.Parallel()
	v := newVerifier()
	for i := range maxVerifications {
		v.hold(&verification{id: fmt.Sprint("continuous-", i), spec: verify.Spec{Mode: verify.Continuous}})
	}
	for i := range maxVerifications {
		if err := v.add(&verification{id: fmt.Sprint("verify-", i), spec: verify.Spec{Mode: verify.Full}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.add(&verification{id: "more"}); syncline.CodeOf(err) != "verifications_exhausted" {
		t.Errorf("one more = %v", err)
	}
}

// TestAVerificationThatCannotGoOnFails at the next start, instead of being under way for ever.
func TestAVerificationThatCannotGoOnFails(t *testing.T) {
	dir := t.TempDir()
	text, _ := itemsIn(t, dir, 1, "")
	c := load(t, dir, text)
	d, stop := runningUntil(t, c)
	eventually(t, "it works", func() bool { ready, _ := d.Engine().Ready(t.Context()); return ready })
	if err := d.state.AddVerification(t.Context(), state.Verification{ID: "verify-1", Status: state.VerificationRunning, Spec: []byte("{}"), Progress: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	stop()
	d = running(t, c)
	eventually(t, "it fails", func() bool {
		v, err := d.state.Verification(t.Context(), "verify-1")
		return err == nil && v.Status == state.VerificationFailed
	})
}
