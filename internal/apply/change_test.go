package apply

import (
	"testing"

	"syncline"
)

// again begins a new session with changed options, as a process with a changed configuration does.
func (b *bench) again(change func(*Options)) {
	b.t.Helper()
	change(&b.options)
	b.start()
}

func keyedBy(mapping string) func(*syncline.Schema) (*Binding, error) {
	return func(s *syncline.Schema) (*Binding, error) { return &Binding{Out: s, KeyMapping: mapping}, nil }
}

func TestARuleThatMakesOtherKeysBeginsItsRouteAnew(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Start = StartFull
		o.Rules = []Rule{{ID: "r", Entity: "customer", Object: "dim", Create: true, Bind: keyedBy("id = id")}}
	})
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.again(func(*Options) {}) // the same rule goes on
	b.runs = nil
	b.append(created(2, "b", "x"))
	b.mustDrain()
	if len(b.runs) != 0 {
		t.Fatalf("a rule that was not changed asked for %+v", b.runs)
	}

	b.again(func(o *Options) { o.Rules[0].Bind = keyedBy("customer_id = id") })
	if b.s.Cursor().Seq != 3 {
		t.Errorf("cursor = %+v before any row says what the keys are made of, want the old one", b.s.Cursor())
	}
	b.append(created(3, "c", "x"))
	if err := b.drain(); err != errAnew { //nolint:errorlint // this very one ends the session
		t.Fatalf("the first row under the changed rule = %v, want the session's end", err)
	}
	b.start()
	if len(b.runs) != 1 || b.runs[0].Kind != syncline.RunFull || b.s.Cursor().Seq != 4 {
		t.Errorf("begun anew with runs %+v at %+v, want one of all customers at 4", b.runs, b.s.Cursor())
	}
	b.append(created(4, "d", "x"))
	b.mustDrain()
}

// TestARuleThatNeverWroteLeavesNoMixedTarget: it is corrected until it works.
func TestARuleThatNeverWroteLeavesNoMixedTarget(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Version, o.Retry.Max = "1", 1 })
	b.store.Refuse("dim", "1")
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.again(func(o *Options) { o.Version = "2" })
	if row, err := b.state.Route(b.ctx, b.route.slice); err != nil || row.Mixed || row.Version != "2" {
		t.Errorf("version %s is mixed: %v, %v, want version 2 and nothing mixed", row.Version, row.Mixed, err)
	}
}

func TestAChangedRuleKeepsItsCursorAndMarksTheTargetMixed(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Version = "1" })
	mixed := func(want bool, when string) {
		t.Helper()
		row, err := b.state.Route(b.ctx, b.route.slice)
		if err != nil || row.Mixed != want {
			t.Errorf("%s: mixed = %v, %v, want %v", when, row.Mixed, err, want)
		}
	}
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.again(func(*Options) {})
	mixed(false, "the same rules")

	b.again(func(o *Options) { o.Version = "2" })
	if b.s.Cursor().Seq != 2 {
		t.Errorf("cursor after a change of conditions = %+v, want it kept", b.s.Cursor())
	}
	mixed(true, "changed rules")
	b.again(func(*Options) {})
	mixed(true, "changed rules, later")

	cut := false
	copied := func(run string, first, last bool) {
		b.commit++
		b.store1(&syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: b.commit}, Txns: []syncline.Txn{{}},
			Chunk:  &syncline.Chunk{Run: run, Kind: syncline.RunFull, Number: 1, Entity: "customer", First: first, Last: last, Cut: cut},
			Events: []syncline.Event{{Op: syncline.OpSnapshot, Schema: customers, After: record(1, "a", "x")}}})
		b.mustDrain()
	}
	copied("cut", true, false)
	copied("sync", false, true)
	mixed(true, "the end of a copy whose beginning was not seen")
	cut = true
	copied("some", true, true)
	mixed(true, "a copy of some records")
	cut = false
	copied("given up", true, false)
	cut = true
	copied("given up", false, true)
	mixed(true, "a copy that was given up")
	cut = false
	copied("sync", true, false)
	mixed(true, "half a copy")
	copied("sync", false, true)
	mixed(false, "a whole copy")
	b.again(func(*Options) {})
	mixed(false, "afterwards")
}
