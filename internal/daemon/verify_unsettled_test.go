package daemon

import (
	"testing"

	"syncline/internal/ops"
	"syncline/internal/state"
)

// TestWhatCannotBeToldIsNotVerified: while a route does not work, a verification takes nothing back of what the one before found, and one that
// could tell of no record is none.
func TestWhatCannotBeToldIsNotVerified(t *testing.T) {
	dir := t.TempDir()
	text, target := itemsIn(t, dir, 40, "")
	d := running(t, load(t, dir, text))
	known := func() ops.Verified {
		t.Helper()
		r, err := d.Engine().Routes(t.Context())
		if err != nil || len(r[0].Verified) != 1 {
			t.Fatalf("Routes = %+v, %v, want what is known of the rule", r, err)
		}
		return r[0].Verified[0]
	}
	eventuallyEqual(t, d, 40)
	execute(t, target, `DELETE FROM item WHERE id = 7`)
	if v := verified(t, d, ops.VerificationRequest{}); v.Differences != 1 {
		t.Fatalf("a verification finds %d differences", v.Differences)
	}
	if _, err := d.Engine().Pause(t.Context(), []state.Pause{{Kind: state.PauseRule, Name: "mirror", Reason: "test"}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the route is paused", func() bool {
		r, err := d.Engine().Routes(t.Context())
		return err == nil && r[0].State == ops.RoutePaused
	})
	if v := verified(t, d, ops.VerificationRequest{}); v.Differences != 0 || v.Total.Unsettled != 1 {
		t.Fatalf("beside a paused route: %s", verdictIn(t, d, &v))
	}
	if v := known(); v.Differences != 1 || v.Unsettled != 1 {
		t.Errorf("what is known = %+v, want the difference that was there", v)
	}
	was := known()
	execute(t, target, `DELETE FROM item`)
	if v := verified(t, d, ops.VerificationRequest{}); v.Total.Unsettled != 40 || v.Parts[0].Settled() != 0 {
		t.Fatalf("of an empty target: %s", verdictIn(t, d, &v))
	}
	if v := known(); !v.At.Equal(*was.At) || v.Verification != was.Verification {
		t.Errorf("what is known = %+v, want what was before %s: nothing could be told", v, was.Verification)
	}
}
