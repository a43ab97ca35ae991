package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/memtarget"
)

// tagged are the children of customers: one for each name in notes.
var tagged = &syncline.Schema{Entity: "customer", Table: "public.customer", Version: -1, Key: []int{0, 1}, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt, Type: "integer"},
	{Name: "tag", Kind: syncline.KindText, Type: "text"},
	{Name: "name", Kind: syncline.KindText, Type: "text", Nullable: true},
}}

func splitting(s *syncline.Schema) (*Binding, error) {
	return &Binding{Out: s, Split: &Split{Out: tagged, Parent: 1, Rows: func(_ *syncline.Batch, _ int, parent []syncline.Value) ([][]syncline.Value, error) {
		var rows [][]syncline.Value
		if parent[2].IsUnset() {
			return nil, &expression.UnsetError{Column: "notes"}
		}
		for _, tag := range strings.Fields(parent[2].Text()) {
			if tag == "bad" {
				return nil, syncline.Errorf(syncline.Rejected, "transform_failed", "bad")
			}
			rows = append(rows, []syncline.Value{parent[0], syncline.Text(tag), parent[1]})
		}
		return rows, nil
	}}}, nil
}

func (b *bench) children() string {
	b.t.Helper()
	var out []string
	err := b.store.Open(memtarget.Options{Route: "reader"}).Scan(b.ctx, "dim", tagged, func(r syncline.Row) error {
		k, _ := r.Key()
		out = append(out, fmt.Sprintf("%s=%s", k, r.Values[2].Text()))
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (b *bench) wantChildren(want string) {
	b.t.Helper()
	if got := b.children(); got != want {
		b.t.Errorf("children = %s\nwant       %s", got, want)
	}
}

func newSplitBench(t *testing.T, change func(*Options)) *bench {
	return newBench(t, func(o *Options) {
		o.Rules[0].Bind = splitting
		if change != nil {
			change(o)
		}
	})
}

// TestASplitReplacesTheWholeSet: whatever happens to a record, its children are those of its newest state.
func TestASplitReplacesTheWholeSet(t *testing.T) {
	b := newSplitBench(t, nil)
	b.append(created(1, "a", "x y z"), created(11, "k", "x"), created(2, "b", "x"), created(3, "c", ""))
	b.mustDrain()
	b.wantChildren("1,x=a 1,y=a 1,z=a 11,x=k 2,x=b")
	b.append(updated(1, "A", "y w")) // x and z vanish, w comes
	b.mustDrain()
	b.wantChildren("1,w=A 1,y=A 11,x=k 2,x=b")
	b.append(updated(1, "AA", "v"), updated(1, "AB", "u v"), updated(2, "B", ""), updated(3, "c", "t")) // merged in one batch
	b.mustDrain()
	b.wantChildren("1,u=AB 1,v=AB 11,x=k 3,t=c")
	b.append(rekeyed(1, 4, "d", "u"), deleted(3)) // another key, and a delete
	b.mustDrain()
	b.wantChildren("11,x=k 4,u=d")
	b.append(deleted(4), created(4, "e", "q r"), created(1, "f", "u"), deleted(1)) // gone and back in one batch
	b.mustDrain()
	b.wantChildren("11,x=k 4,q=e 4,r=e")
	b.append(syncline.Event{Op: syncline.OpTruncated, Schema: customers})
	b.append(created(5, "g", "o"))
	b.mustDrain()
	b.wantChildren("5,o=g")
	if c := b.balanced(); c.Parked != 0 {
		t.Errorf("counts = %+v, want none parked", c)
	}
}

// A record that leaves the rule takes its children along.
func TestASplitRecordLeaves(t *testing.T) {
	b := newSplitBench(t, func(o *Options) {
		o.Rules[0].Bind = func(s *syncline.Schema) (*Binding, error) {
			binding, err := splitting(s)
			binding.Match = func(b *syncline.Batch, i int) (bool, error) { return b.Events[i].After[1].Text() != "out", nil }
			return binding, err
		}
	})
	b.append(created(1, "a", "x y"), created(2, "b", "x"))
	b.mustDrain()
	b.append(updated(1, "out", "x y"))
	b.mustDrain()
	b.wantChildren("2,x=b")
}

// A parent waits as a whole: its children stay as they were until its newest state can be applied.
func TestASplitParksTheParent(t *testing.T) {
	b := newSplitBench(t, nil)
	b.append(created(1, "a", "x y"), created(2, "b", "x"))
	b.mustDrain()
	b.append(updated(1, "A", "x bad"), updated(2, "B", "x"))
	b.append(updated(1, "AA", "x z"))
	b.mustDrain()
	b.wantChildren("1,x=a 1,y=a 2,x=B")
	b.wantWaiting("1 retrying transform_failed")
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	b.wantChildren("1,x=AA 1,z=AA 2,x=B")
	b.wantWaiting()
}

// Where the list was not sent, the record is read from the source.
func TestASplitReadsTheListThatWasNotSent(t *testing.T) {
	b := newSplitBench(t, nil)
	b.append(created(1, "a", "x y"))
	b.mustDrain()
	b.append(updated(1, "A", "-"))
	b.mustDrain()
	if len(b.runs) != 1 || !slices.Equal(b.runs[0].Keys, []syncline.Key{"1"}) {
		t.Fatalf("runs = %+v, want one for key 1", b.runs)
	}
	b.wantChildren("1,x=a 1,y=a")
	b.reply(b.runs[0], record(1, "A", "y z"))
	b.mustDrain()
	b.wantChildren("1,y=A 1,z=A")
	b.wantWaiting()
}

// refusing is a target that takes no child of a name.
type refusing struct {
	*memtarget.Target
	name string
}

func (r refusing) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	for i, c := range w.Changes {
		if c.Op == syncline.ChangePut && c.Row.Values[1].Text() == r.name {
			return syncline.Result{}, syncline.Errorf(syncline.Rejected, "check_violated", "no").At(i)
		}
	}
	return r.Target.Apply(ctx, w)
}

// One refused child has its parent wait, and nobody else.
func TestARefusedChildParksItsParent(t *testing.T) {
	b := newSplitBench(t, func(o *Options) {
		open := o.Open
		o.Open = func(ctx context.Context) (syncline.Target, error) {
			target, err := open(ctx)
			return refusing{target.(*memtarget.Target), "poison"}, err
		}
	})
	b.append(created(1, "a", "x"), created(2, "b", "x y"), created(3, "c", "x"))
	b.mustDrain()
	b.append(updated(1, "A", "x y"), updated(2, "B", "x poison"), updated(3, "C", "y"))
	b.mustDrain()
	b.wantChildren("1,x=A 1,y=A 2,x=b 2,y=b 3,y=C")
	b.wantWaiting("2 retrying check_violated")
	if c := b.balanced(); c.Parked != 1 {
		t.Errorf("counts = %+v, want one parked", c)
	}
}

func TestASplitNeedsATargetThatCanReplaceSets(t *testing.T) {
	b := newSplitBench(t, func(o *Options) {
		store := memtarget.NewStore()
		o.Open = func(context.Context) (syncline.Target, error) {
			return store.Open(memtarget.Options{Route: "r", NoTransactions: true}), nil
		}
	})
	b.append(created(1, "a", "x"))
	if err := b.drain(); syncline.CodeOf(err) != "split_unsupported" || syncline.ClassOf(err) != syncline.Fatal {
		t.Errorf("drain = %v, want split_unsupported", err)
	}
}

// An event target gets one delivery for each child, with an id that is the same on every attempt.
func TestASplitSendsEachChild(t *testing.T) {
	recorder := memtarget.NewRecorder()
	b := newSplitBench(t, func(o *Options) {
		o.Open = func(context.Context) (syncline.Target, error) { return recorder, nil }
	})
	gone := deleted(1)
	gone.Before = record(1, "a", "x y")
	b.append(created(1, "a", "x y"), updated(2, "b", ""), gone, deleted(3))
	b.mustDrain()
	var got []string
	for _, s := range recorder.Sent() {
		key, _ := s.Change.Row.Key()
		got = append(got, fmt.Sprintf("%s %s", s.Change.ID(), key))
	}
	if len(got) != 5 || got[0] == got[1] || !strings.HasSuffix(got[0], "/1,x 1,x") || !strings.HasSuffix(got[1], "/1,y 1,y") ||
		!strings.HasSuffix(got[2], "/1,x 1,x") || !strings.HasSuffix(got[3], "/1,y 1,y") || !strings.HasSuffix(got[4], "/4 ") {
		t.Errorf("sent %q, want both children of 1 twice, and the key of 3", got)
	}
	if c := b.balanced(); c.Applied != 4 {
		t.Errorf("counts = %+v, want four applied", c)
	}
}

// A TRUNCATE is of no record, and sent as it is.
func TestASplitSendsATruncate(t *testing.T) {
	recorder := memtarget.NewRecorder()
	b := newSplitBench(t, func(o *Options) {
		o.Open = func(context.Context) (syncline.Target, error) { return recorder, nil }
	})
	b.append(created(1, "a", "x"), syncline.Event{Op: syncline.OpTruncated, Schema: customers}, created(2, "b", "y"))
	b.mustDrain()
	var got []string
	for _, s := range recorder.Sent() {
		got = append(got, fmt.Sprint(s.Change.Batch.Events[s.Change.Event].Op))
	}
	if want := []string{"created", "truncated", "created"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// The children of a record are told in its order: while one of an event is refused, none of a later event is sent.
func TestASplitSendsInTheOrderOfTheParent(t *testing.T) {
	recorder := memtarget.NewRecorder()
	b := newSplitBench(t, func(o *Options) {
		o.Open = func(context.Context) (syncline.Target, error) { return recorder, nil }
	})
	recorder.Refuse("dim", "1,x")
	b.append(created(1, "a", "x y"), updated(1, "A", "y"), created(2, "b", "y"))
	b.mustDrain()
	recorder.Accept("dim", "1,x")
	b.now = b.now.Add(time.Hour)
	b.mustDrain()
	var got []string
	for _, s := range recorder.Sent() {
		got = append(got, fmt.Sprintf("%s=%s", s.Key, s.Change.Row.Values[2].Text()))
	}
	if want := []string{"2,y=b", "1,x=a", "1,y=a", "1,y=A"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	b.wantWaiting()
}
