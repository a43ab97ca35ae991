package apply

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/memlog"
	"syncline/internal/memtarget"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

// customers is a schema with a key, two plain columns and one that a source may leave out.
var customers = &syncline.Schema{Entity: "customer", Table: "public.customer", Version: -1, Key: []int{0}, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt, Type: "integer"},
	{Name: "name", Kind: syncline.KindText, Type: "text", Nullable: true},
	{Name: "notes", Kind: syncline.KindText, Type: "text", Nullable: true},
}}

// bench is a route over a log and a target in memory.
type bench struct {
	t       *testing.T
	ctx     context.Context
	now     time.Time
	logs    *memlog.Store
	log     *memlog.Log
	store   *memtarget.Store
	state   *state.Store
	runs    []syncline.Run
	options Options
	route   *Route
	s       *Session
	read    *memlog.Reader
	commit  uint64
}

func newBench(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, ctx: t.Context(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), store: memtarget.NewStore()}
	b.logs = memlog.New(memlog.Options{Now: func() time.Time { return b.now }})
	b.log = b.logs.Log("crm")
	b.state = statetest.Open(t)
	b.options = Options{ID: "r", Source: "crm", Start: StartEarliest, Signature: "1", Log: b.log, State: b.state,
		Rules: []Rule{{ID: "r", Entity: "customer", Object: "dim", Create: true, Bind: mirror}},
		Open: func(context.Context) (syncline.Target, error) {
			return b.store.Open(memtarget.Options{Route: "r"}), nil
		},
		Now: func() time.Time { return b.now },
		RequestRun: func(_ context.Context, r syncline.Run) error {
			b.runs = append(b.runs, r)
			return nil
		}}
	if change != nil {
		change(&b.options)
	}
	b.start()
	return b
}

func mirror(s *syncline.Schema) (*Binding, error) { return &Binding{Out: s}, nil }

// start begins a session, as at a start or after a crash.
func (b *bench) start() {
	b.t.Helper()
	var err error
	if b.route, err = New(b.options); err != nil {
		b.t.Fatal(err)
	}
	if err := b.route.Prepare(b.ctx, false); err != nil {
		b.t.Fatal(err)
	}
	b.begin()
}

// begin begins a session of the route that is there.
func (b *bench) begin() {
	b.t.Helper()
	var err error
	if b.s, err = b.route.Begin(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	if b.read, err = b.log.Reader(b.s.m.committed.Seq); err != nil {
		b.t.Fatal(err)
	}
}

// append stores one transaction.
func (b *bench) append(events ...syncline.Event) {
	b.t.Helper()
	b.commit++
	for i := range events {
		events[i].Ordinal = uint32(i + 1)
	}
	b.store1(&syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: b.commit, Ordinal: uint32(len(events))},
		Txns: []syncline.Txn{{Commit: b.commit, Time: b.now}}, Events: events})
}

func (b *bench) store1(batch *syncline.Batch) {
	b.t.Helper()
	if _, err := b.log.Append(b.ctx, batch); err != nil {
		b.t.Fatal(err)
	}
}

// reply stores the records that a run has read; nil is one that the source does not have.
func (b *bench) reply(r syncline.Run, records ...[]syncline.Value) {
	b.t.Helper()
	batch := &syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: b.commit, Ordinal: 9}, Txns: []syncline.Txn{{}},
		Chunk: &syncline.Chunk{Run: r.ID, Kind: r.Kind, Number: 1, Entity: r.Entity, Routes: r.Routes, Last: true}}
	for i, after := range records {
		e := syncline.Event{Op: syncline.OpSnapshot, Schema: customers, After: after}
		if after == nil {
			id, err := strconv.ParseInt(string(r.Keys[i]), 10, 64)
			if err != nil {
				b.t.Fatal(err)
			}
			e.Op, e.Before = syncline.OpAbsent, onlyKey(id)
		}
		batch.Events = append(batch.Events, e)
	}
	b.store1(batch)
}

// drain applies all that is in the log.
func (b *bench) drain() error {
	b.t.Helper()
	for {
		e, ok, err := b.read.TryNext()
		if err != nil {
			b.t.Fatal(err)
		}
		if !ok {
			return b.s.Step(b.ctx)
		}
		batch, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := b.s.m.take(Fed{Seq: e.Seq, Time: e.Time, Batch: batch, Size: len(e.Data), More: e.More}); err != nil {
			return err
		}
	}
}

func (b *bench) mustDrain() {
	b.t.Helper()
	if err := b.drain(); err != nil {
		b.t.Fatal(err)
	}
	b.balanced()
}

// balanced checks G10.
func (b *bench) balanced() state.Counts {
	b.t.Helper()
	c, _, err := b.state.Totals(b.ctx, b.route.slice)
	if err != nil {
		b.t.Fatal(err)
	}
	if !c.Balanced() {
		b.t.Errorf("totals = %+v, which do not add up", c)
	}
	return c
}

// rows returns the target's records as text.
func (b *bench) rows() map[string]string {
	b.t.Helper()
	out := make(map[string]string)
	err := b.store.Open(memtarget.Options{Route: "reader"}).Scan(b.ctx, "dim", customers, func(r syncline.Row) error {
		k, _ := r.Key()
		out[string(k)] = fmt.Sprintf("%s/%s", r.Values[1].Text(), r.Values[2].Text())
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) want(rows map[string]string) {
	b.t.Helper()
	if diff := cmp.Diff(rows, b.rows()); diff != "" {
		b.t.Errorf("target (-want +got):\n%s", diff)
	}
}

func record(id int64, name, notes string) []syncline.Value {
	v := []syncline.Value{syncline.Int(id), syncline.Text(name), syncline.Text(notes)}
	if notes == "-" {
		v[2] = syncline.Unset
	}
	return v
}

func created(id int64, name, notes string) syncline.Event {
	return syncline.Event{Op: syncline.OpCreated, Schema: customers, After: record(id, name, notes)}
}

func updated(id int64, name, notes string) syncline.Event {
	return syncline.Event{Op: syncline.OpUpdated, Schema: customers, After: record(id, name, notes)}
}

func rekeyed(from, to int64, name, notes string) syncline.Event {
	return syncline.Event{Op: syncline.OpUpdated, Schema: customers, Before: onlyKey(from), After: record(to, name, notes)}
}

func deleted(id int64) syncline.Event {
	return syncline.Event{Op: syncline.OpDeleted, Schema: customers, Before: onlyKey(id)}
}

func onlyKey(id int64) []syncline.Value {
	return []syncline.Value{syncline.Int(id), syncline.Unset, syncline.Unset}
}
