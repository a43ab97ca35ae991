package apply

import (
	"slices"
	"testing"
)

// TestPaceGrowsWithWhatIsTaken from one event, twice as many each time, until nothing bounds it any more.
func TestPaceGrowsWithWhatIsTaken(t *testing.T) {
	p := pace{limit: 1}
	var limits []int
	for range 8 {
		p.taken(p.limit, 100)
		limits = append(limits, p.limit)
	}
	if want := []int{2, 4, 8, 16, 32, 64, 100, 100}; !slices.Equal(limits, want) {
		t.Errorf("limits = %v, want %v", limits, want)
	}
	p.limit = 8
	if p.taken(5, 100); p.limit != 8 {
		t.Errorf("after a batch that had room the limit is %d, want 8: nobody knows that more are taken", p.limit)
	}
}

// TestPaceShrinks, and does not begin anew: a target that has refused a record is not given everything again.
func TestPaceShrinks(t *testing.T) {
	for _, test := range []struct {
		name string
		from pace
		to   func(*pace)
		want pace
	}{
		{"merged, the same in order", pace{}, func(p *pace) { p.merged(5000) }, pace{5000, true}},
		{"in order taken after all", pace{5000, true}, func(p *pace) { p.taken(5000, 5000) }, pace{}},
		{"in order refused", pace{5000, true}, func(p *pace) { p.named(700) }, pace{1400, false}},
		{"in order refused at once", pace{5000, true}, func(p *pace) { p.named(0) }, pace{fewest, false}},
		{"the only one", pace{}, func(p *pace) { p.named(0) }, pace{fewest, false}},
		{"not much at once", pace{limit: 400}, func(p *pace) { p.named(10) }, pace{200, false}},
		{"a later one", pace{limit: 400}, func(p *pace) { p.named(150) }, pace{300, false}},
		{"never more than before", pace{limit: 4}, func(p *pace) { p.named(3) }, pace{4, false}},
		{"nobody knows which", pace{limit: 400}, func(p *pace) { p.unnamed(400) }, pace{200, false}},
		{"nobody knows which of two", pace{limit: 400}, func(p *pace) { p.unnamed(2) }, pace{1, false}},
		{"nothing is near", pace{}, func(p *pace) { p.taken(5000, 5000) }, pace{}},
	} {
		got := test.from
		if test.to(&got); got != test.want {
			t.Errorf("%s: %+v became %+v, want %+v", test.name, test.from, got, test.want)
		}
	}
}
