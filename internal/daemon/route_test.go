package daemon

import (
	"testing"

	"syncline/internal/config"
	"syncline/internal/transform"
)

func TestARouteBeginsAnewWhereWhatItReadsWritesOrCallsTheKeyIsAnother(t *testing.T) {
	make := func(change func(a, b *config.Rule, key *[]string)) (sig, ver string) {
		a := &config.Rule{ID: "a", From: []config.Ref{{System: "crm", Name: "lead"}}, To: config.Ref{System: "find", Name: "lead"}}
		b := &config.Rule{ID: "b", From: []config.Ref{{System: "crm", Name: "order"}}, To: config.Ref{System: "find", Name: "order"}}
		var key []string
		if change != nil {
			change(a, b, &key)
		}
		crm := &config.System{Name: "crm", Capture: &config.Capture{Entities: []*config.Entity{{Name: "lead", Key: key}, {Name: "order"}}}}
		rt := &route{rules: []*config.Rule{a, b}, source: &source{system: crm}}
		return signature(rt), version(rt.rules)
	}
	sig, ver := make(nil)
	for name, test := range map[string]struct {
		change      func(a, b *config.Rule, key *[]string)
		anew, mixed bool
	}{
		"the rules in another order": {func(a, b *config.Rule, _ *[]string) { *a, *b = *b, *a }, false, false},
		"another entity":             {func(a, _ *config.Rule, _ *[]string) { a.From[0].Name = "order" }, true, false},
		"another object":             {func(_, b *config.Rule, _ *[]string) { b.To.Name = "orders" }, true, false},
		"a declared key":             {func(_, _ *config.Rule, key *[]string) { *key = []string{"code"} }, true, false},
		"a condition":                {func(a, _ *config.Rule, _ *[]string) { a.Match.When = "after.tier != nil" }, false, true},
		"a step": {func(a, _ *config.Rule, _ *[]string) {
			a.Transform = []transform.Step{transform.Drop{Fields: []string{"x"}}}
		}, false, true},
	} {
		s, v := make(test.change)
		if (s != sig) != test.anew || (v != ver) != test.mixed {
			t.Errorf("%s: anew %v, mixed %v, want %v, %v", name, s != sig, v != ver, test.anew, test.mixed)
		}
	}
}

// TestManyRoutesShareWhatIsReadAhead: a hundred rules on one table that are all behind would take gigabytes.
func TestManyRoutesShareWhatIsReadAhead(t *testing.T) {
	for routes, want := range map[int]int{1: 4 << 20, 16: 4 << 20, 64: 1 << 20, 256: 256 << 10, 5000: 256 << 10} {
		if got := share(routes); got != want {
			t.Errorf("one of %d routes reads %d bytes ahead, want %d", routes, got, want)
		}
	}
}
