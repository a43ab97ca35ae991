package daemon

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline/internal/config"
	"syncline/internal/health"
	"syncline/internal/state"
	"syncline/internal/verify"
)

// TestWhatIsAdvisedOfDifferences: the limit that a repair needs is named, because without it nothing would be sent.
func TestWhatIsAdvisedOfDifferences(t *testing.T) {
	parts := []state.Verified{{Rule: "other", Verification: "v0", Records: 10, Differences: 10}, {Rule: "r/a", Verification: "v1", Records: 1000, Differences: 100},
		{Rule: "r/b", Verification: "v2", Records: 1000, Differences: 101}}
	half := verify.Limit{Percent: 50}
	for name, tt := range map[string]struct {
		parts []state.Verified
		limit *verify.Limit
		want  health.Differing
	}{
		"few":             {parts[:2], nil, health.Differing{Rule: "r", Target: "dw", Records: 100, Verification: "v1"}},
		"many":            {parts, nil, health.Differing{Rule: "r", Target: "dw", Records: 201, Verification: "v2", MaxRepair: 110}},
		"many as allowed": {parts, &half, health.Differing{Rule: "r", Target: "dw", Records: 201, Verification: "v2"}},
	} {
		rule := &config.Rule{ID: "r", From: []config.Ref{{System: "crm", Name: "a"}}, To: config.Ref{System: "dw", Name: "t"}}
		if tt.limit != nil {
			rule.Verify = &config.Verify{MaxRepair: tt.limit}
		}
		if diff := cmp.Diff(tt.want, lastDiffering(rule, tt.parts)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
