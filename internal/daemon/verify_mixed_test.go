package daemon

import (
	"slices"
	"strings"
	"testing"

	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// TestAVerificationTakesTheMarkFromAMixedTarget once it has compared all records by the new rules and found them equal: not one of some
// records, nor one that leaves a difference.
func TestAVerificationTakesTheMarkFromAMixedTarget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text, _ := itemsIn(t, dir, 50, ", transform: [{set: {name: 'upper(after.name)'}}]")
	files := func(text string) []config.File { return []config.File{{Name: "syncline.yaml", Text: []byte(text)}} }
	d, err := Open(t.Context(), Options{Config: read(t, dir, text), Files: files(text), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, d)
	t.Cleanup(func() { stop(); closeDaemon(t, d) })
	eventuallyEqual(t, d, 50)
	change := func(old, made string) {
		t.Helper()
		text = strings.Replace(text, old, made, 1)
		if _, err := d.Apply(t.Context(), Application{By: "test", Files: files(text)}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the route works by the new rules", func() bool {
			row, err := d.state.Route(t.Context(), state.Slice{Route: "mirror"})
			return err == nil && row.Version == version(d.route("mirror").rules)
		})
	}
	verdict := func(want string, mixed bool, q ops.VerificationRequest) {
		t.Helper()
		v := verified(t, d, q)
		got, _, _ := strings.Cut(verdictIn(t, d, &v), " 10:")
		r, err := d.Engine().Routes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if is := strings.Contains(strings.Join(r[0].Warnings, " "), "both versions"); got != want || is != mixed {
			t.Errorf("verification %+v = %s, and the target is mixed: %v; want %s, %v", q, got, is, want, mixed)
		}
	}
	change("upper(after.name)", "trim(upper(after.name))")
	verdict("done equal=20", true, ops.VerificationRequest{Sample: 20})
	verdict("done equal=1", true, ops.VerificationRequest{Keys: []string{"7"}})
	verdict("done equal=50", false, ops.VerificationRequest{})

	change("trim(upper(after.name))", "lower(after.name)")
	verdict("done equal=0 different=50", true, ops.VerificationRequest{})
	verdict("done equal=0 different=50 repaired=50", false, ops.VerificationRequest{Repair: "auto"})
}

// TestNewRulesBeginAVerificationAnew: half of the records by one version of a rule and half by another would prove neither.
func TestNewRulesBeginAVerificationAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text, target := itemsIn(t, dir, 5000, ", transform: [{set: {name: 'upper(after.name)'}}]")
	files := func(text string) []config.File { return []config.File{{Name: "syncline.yaml", Text: []byte(text)}} }
	d, err := Open(t.Context(), Options{Config: read(t, dir, text), Files: files(text), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, d)
	t.Cleanup(func() { stop(); closeDaemon(t, d) })
	eventuallyEqual(t, d, 5000)
	execute(t, target, `UPDATE item SET name = lower(name) WHERE id = 5`)
	v, err := d.Engine().StartVerification(t.Context(), ops.VerificationRequest{Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a page is compared and saved", func() bool {
		list, _, err := d.Engine().Differences(t.Context(), v.ID, "", 10)
		return err == nil && len(list) == 1
	})
	if _, err := d.Apply(t.Context(), Application{By: "test", Files: files(strings.Replace(text, "upper(", "lower(", 1))}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the verification ends", func() bool {
		v, err = d.Engine().Verification(t.Context(), v.ID)
		return err == nil && v.Status != state.VerificationRunning
	})
	list, _, err := d.Engine().Differences(t.Context(), v.ID, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if v.Total.Equal != 1 || v.Total.Different != 4999 || slices.ContainsFunc(list, func(d ops.Difference) bool { return d.Key == "5" }) {
		t.Errorf("by the new rules %d are equal and %d different, %d of them listed; want 1, 4999, and none of record 5", v.Total.Equal, v.Total.Different, len(list))
	}
}
