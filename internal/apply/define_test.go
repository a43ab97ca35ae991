package apply

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memtarget"
	"syncline/internal/state"
)

// wider is customers with a column more.
var wider = func() *syncline.Schema {
	s := *customers
	s.Columns = append(append([]syncline.Column(nil), s.Columns...), syncline.Column{Name: "city", Kind: syncline.KindText, Type: "text", Nullable: true})
	return &s
}()

func moved(id int64, city string) syncline.Event {
	return syncline.Event{Op: syncline.OpUpdated, Schema: wider, After: append(record(id, "n", "x"), syncline.Text(city))}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if syncline.CodeOf(err) != code {
		t.Fatalf("drain = %v, want %s", err, code)
	}
}

func TestASchemaThatHaltsDoesSoAfterARestart(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Rules[0].Schema = syncline.SchemaHalt })
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.start()
	b.append(moved(1, "Bern"))
	wantCode(t, b.drain(), "schema_changed")
	b.start()
	wantCode(t, b.drain(), "schema_changed")
	b.want(map[string]string{"1": "a/x"})

	if _, err := b.route.resume(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.begin()
	b.mustDrain()
	b.want(map[string]string{"1": "n/x"})
	b.append(updated(1, "b", "y")) // and back: another change
	wantCode(t, b.drain(), "schema_changed")
	if _, err := b.route.resume(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.begin()
	b.mustDrain()
	b.append(moved(1, "Rome")) // what was accepted once is not accepted for good
	wantCode(t, b.drain(), "schema_changed")
}

func TestAnEditedRuleIsNoChangedSchema(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Rules[0].Schema = syncline.SchemaHalt })
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.options.Rules[0].Bind = func(*syncline.Schema) (*Binding, error) {
		out := *customers
		out.Table = "renamed"
		return &Binding{Out: &out}, nil
	}
	b.start()
	b.append(updated(1, "b", "y"))
	b.mustDrain()
	b.want(map[string]string{"1": "b/y"})
}

// spy notes what a target is told of schemas.
type spy struct {
	*memtarget.Target
	told *[]*syncline.Schema
}

func (s spy) Define(ctx context.Context, d syncline.Definition) (syncline.Defined, error) {
	*s.told = append(*s.told, d.Previous)
	return s.Target.Define(ctx, d)
}

func TestATargetIsToldWhatItFittedBeforeTheRestart(t *testing.T) {
	var told []*syncline.Schema
	b := newBench(t, func(o *Options) {
		open := o.Open
		o.Open = func(ctx context.Context) (syncline.Target, error) {
			target, err := open(ctx)
			return spy{target.(*memtarget.Target), &told}, err
		}
	})
	b.append(created(1, "a", "x"))
	b.mustDrain()
	b.start()
	b.append(moved(1, "Bern"))
	b.mustDrain()
	b.options.Rules[0].Object = "other"
	b.start()
	b.append(moved(2, "Rome"))
	b.mustDrain()
	if diff := cmp.Diff([]*syncline.Schema{nil, customers, nil}, told); diff != "" {
		t.Errorf("Previous of each Define (-want +got):\n%s", diff)
	}
}

// forgetful is a state store that a crash keeps from saving a schema.
type forgetful struct {
	*state.Store
	fail bool
}

func (f *forgetful) SaveSchema(ctx context.Context, sl state.Slice, r state.RuleSchema) error {
	if f.fail {
		return errors.New("killed")
	}
	return f.Store.SaveSchema(ctx, sl, r)
}

// TestRecordsThatLackAColumnAreAskedFor: whatever fails between the event that brings the column and the first record that has it,
// the column is not there without the run, and the run is one.
func TestRecordsThatLackAColumnAreAskedFor(t *testing.T) {
	for _, baseline := range []bool{true, false} {
		refuse := errors.New("no room")
		store := &forgetful{}
		b := newBench(t, func(o *Options) {
			o.Rules[0].Schema = syncline.SchemaEvolve
			store.Store = o.State.(*state.Store)
			o.State = store
			request := o.RequestRun
			o.RequestRun = func(ctx context.Context, r syncline.Run) error {
				if refuse != nil {
					return refuse
				}
				return request(ctx, r)
			}
		})
		store.fail = !baseline // an older version did not save it
		b.append(created(1, "a", "x"))
		if err := b.drain(); (err == nil) != baseline {
			t.Fatalf("drain = %v", err)
		}
		store.fail = false
		b.append(moved(1, "Bern"))
		if !baseline {
			b.options.Start = StartNow
			if err := b.state.PlaceRoute(b.ctx, b.route.slice, state.Route{Placing: true, Signature: "1",
				Cursor: syncline.Cursor{Log: b.log.ID(), Seq: 2, Epoch: 1}}); err != nil {
				t.Fatal(err)
			}
			b.start()
		}
		if err := b.drain(); !errors.Is(err, refuse) {
			t.Fatalf("drain = %v, want that the run is refused", err)
		}
		b.start()
		if err := b.drain(); !errors.Is(err, refuse) {
			t.Fatalf("drain again = %v, want that the run is refused: no column without it", err)
		}
		refuse = nil
		store.fail = true
		b.start()
		if err := b.drain(); err == nil {
			t.Fatal("drain did not meet the crash")
		}
		store.fail = false
		b.start()
		b.mustDrain()
		ids := map[string]bool{}
		for _, r := range b.runs {
			ids[r.ID] = true
			if r.Kind != syncline.RunFull || r.Entity != "customer" || len(r.Routes) != 1 {
				t.Errorf("run = %+v, want all customers for the route", r)
			}
		}
		if len(ids) != 1 {
			t.Errorf("runs = %+v, want one, however often it is asked for", b.runs)
		}
	}
}

func TestASourceThatCannotReadHoldsNoColumnBack(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Rules[0].Schema = syncline.SchemaEvolve
		o.RequestRun = func(context.Context, syncline.Run) error {
			return syncline.Errorf(syncline.Rejected, "source_cannot_read", "no")
		}
	})
	b.append(created(1, "a", "x"), moved(2, "Bern"))
	b.mustDrain()
	b.want(map[string]string{"1": "a/x", "2": "n/x"})
}

// A column that comes as another goes may be that one renamed: no default tells what its records hold.
func TestARenamedColumnIsReadAnew(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Rules[0].Schema = syncline.SchemaEvolve })
	b.append(created(1, "a", "x"))
	b.mustDrain()
	renamed := *customers
	renamed.Columns = append([]syncline.Column(nil), renamed.Columns...)
	last := &renamed.Columns[len(renamed.Columns)-1]
	last.Name, last.Default = "renamed", "0"
	b.append(syncline.Event{Op: syncline.OpUpdated, Schema: &renamed, After: record(2, "n", "y")})
	b.mustDrain()
	if len(b.runs) != 1 || b.runs[0].Kind != syncline.RunFull {
		t.Errorf("runs = %+v, want one of all customers", b.runs)
	}
}

// documents is a target without a shape.
type documents struct {
	syncline.Target
	syncline.CursorKeeper
}

func TestPoliciesOfATargetWithoutAShape(t *testing.T) {
	for policy, want := range map[syncline.SchemaPolicy]struct {
		code string
		runs int
	}{syncline.SchemaIgnore: {"", 0}, syncline.SchemaEvolve: {"", 1}, syncline.SchemaHalt: {"schema_changed", 0}} {
		b := newBench(t, func(o *Options) {
			o.Rules[0].Schema = policy
			open := o.Open
			o.Open = func(ctx context.Context) (syncline.Target, error) {
				target, err := open(ctx)
				if err == nil {
					made := syncline.Definition{Object: o.Rules[0].Object, Schema: wider, Create: true, Policy: syncline.SchemaEvolve}
					_, err = target.(syncline.Definer).Define(ctx, made)
				}
				return documents{target, target.(syncline.CursorKeeper)}, err
			}
		})
		b.append(created(1, "a", "x"))
		b.mustDrain()
		b.append(moved(1, "Bern"))
		err := b.drain()
		if (err == nil) != (want.code == "") || err != nil && syncline.CodeOf(err) != want.code || len(b.runs) != want.runs {
			t.Errorf("policy %v: drain = %v, runs %+v, want code %q and %d runs", policy, err, b.runs, want.code, want.runs)
		}
	}
}

// gone is a target whose object somebody removes.
type gone struct {
	*memtarget.Target
	removed *bool
}

var errGone = syncline.Errorf(syncline.Fatal, "object_missing", "there is no object dim")

func (g gone) Define(ctx context.Context, d syncline.Definition) (syncline.Defined, error) {
	if *g.removed {
		return syncline.Defined{}, errGone
	}
	return g.Target.Define(ctx, d)
}

func (g gone) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if *g.removed {
		return syncline.Result{}, errGone
	}
	return g.Target.Apply(ctx, w)
}

// TestRecordsOfARemovedObjectAreReadAgain: whoever makes it anew makes it empty, whenever its absence is noticed.
func TestRecordsOfARemovedObjectAreReadAgain(t *testing.T) {
	for _, restart := range []bool{false, true} {
		removed := false
		b := newBench(t, func(o *Options) {
			open := o.Open
			o.Open = func(ctx context.Context) (syncline.Target, error) {
				target, err := open(ctx)
				return gone{target.(*memtarget.Target), &removed}, err
			}
		})
		b.append(created(1, "a", "x"))
		b.mustDrain()
		removed = true
		if restart {
			b.start()
		}
		b.append(created(2, "b", "y"))
		wantCode(t, b.drain(), "object_missing")
		b.start()
		wantCode(t, b.drain(), "object_missing")
		removed = false
		b.start()
		b.mustDrain()
		ids := map[string]bool{}
		for _, r := range b.runs {
			ids[r.ID] = true
		}
		if len(ids) != 1 || b.runs[0].Kind != syncline.RunFull || b.runs[0].Entity != "customer" {
			t.Errorf("restart %t: runs = %+v, want one of all customers", restart, b.runs)
		}
	}
}

func TestDifference(t *testing.T) {
	schema := func(names ...string) *syncline.Schema {
		s := &syncline.Schema{}
		for _, n := range names {
			s.Columns = append(s.Columns, syncline.Column{Name: n})
		}
		return s
	}
	for _, c := range []struct {
		was, now   *syncline.Schema
		gone, come bool
	}{
		{nil, schema("a"), false, false},
		{schema("a", "b"), schema("a", "b"), false, false},
		{schema("a", "b"), schema("a", "b", "c"), false, true},
		{schema("a", "b"), schema("a", "c", "b"), false, true},
		{schema("a", "b"), schema("b"), true, false},
		{schema("a", "b"), schema("a", "c"), true, true},
		{schema("a", "b"), schema("b", "a"), true, true}, // swapped
	} {
		if gone, come := difference(c.was, c.now); gone != c.gone || come != c.come {
			t.Errorf("difference(%v, %v) = %t, %t, want %t, %t", c.was, c.now, gone, come, c.gone, c.come)
		}
	}
}
