// Package polltest is the conformance suite of poll.Dialect: what a database is that can be polled.
package polltest

import (
	"context"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/poll"
	"syncline/internal/state"
	"syncline/internal/statetest"
)

// Database is a throw-away database. Statements are of the common part of SQL; what fails ends the test.
type Database interface {
	Dialect(t testing.TB) poll.Dialect
	Exec(t testing.TB, statements ...string)
	// Rows returns the rows of a query, their columns as text joined by |, null as nothing, sorted.
	Rows(t testing.TB, query string) []string
}

// Harness makes what the suite needs.
type Harness struct {
	New func(t testing.TB) Database
	// Begin begins a transaction beside others, nil where writers wait for each other.
	Begin func(t testing.TB, db Database) Txn
}

// Txn is an open transaction.
type Txn interface {
	Exec(t testing.TB, statements ...string)
	Commit(t testing.TB)
}

// Test runs the suite.
func Test(t *testing.T, h Harness) {
	tests := map[string]func(*testing.T, Harness){
		"changes": testChanges, "pages": testPages, "equal watermarks": testEqual, "ahead": testAhead, "no watermark": testNoWatermark,
		"query": testQuery, "flags": testFlags, "sweep": testSweep, "sweep refused": testSweepRefused, "runs": testRuns, "crashes": testCrashes,
		"first copy": testFirstCopy, "changed configuration": testOtherKey, "errors": testErrors, "nulls": testNulls,
		"lost memory": testLostMemory, "list": testList, "without compare": testBlind, "random": testRandom, "pace": testPace,
		"runs before polls": testRunsBeforePolls, "runs between polls": testRunsBetweenPolls, "first copy given up": testGivenUp,
	}
	if h.Begin != nil {
		tests["late commits"] = testLate
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, h) })
	}
}

// follower plays capture. Its log is a list of stored batches; everything else that it knows is lost in a crash.
type follower struct {
	t     testing.TB
	db    Database
	opt   poll.Options
	store *state.Store
	src   *poll.Source
	log   []*syncline.Batch
	given []*syncline.Batch // not appended
	runs  int
}

func follow(t testing.TB, db Database, entities ...poll.Entity) *follower {
	t.Helper()
	f := &follower{t: t, db: db, opt: poll.Options{Name: "shop", Entities: entities, PageRows: 7}}
	f.remember()
	return f
}

func (f *follower) remember() {
	f.store = statetest.Open(f.t)
	f.opt.Memory = f.store
}

// open opens a source at the log's end.
func (f *follower) open() {
	f.t.Helper()
	if err := f.tryOpen(); err != nil {
		f.t.Fatalf("open: %v", err)
	}
}

func (f *follower) tryOpen() error {
	o := f.opt
	o.Dialect = f.db.Dialect(f.t)
	f.src = poll.New(o)
	src := f.src
	f.t.Cleanup(func() { _ = src.Close() })
	var checkpoint []byte
	var last syncline.Position
	if n := len(f.log); n > 0 {
		checkpoint, last = f.log[n-1].Checkpoint, f.log[n-1].Position
	}
	return f.src.Open(f.context(), checkpoint, last)
}

func (f *follower) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	f.t.Cleanup(cancel)
	return ctx
}

// crash forgets what was not appended.
func (f *follower) crash() {
	f.t.Helper()
	f.given = nil
	if f.src != nil {
		if err := f.src.Close(); err != nil {
			f.t.Fatal(err)
		}
	}
	f.open()
}

// next takes a batch as capture would: it goes through its stored form.
func (f *follower) next() *syncline.Batch {
	f.t.Helper()
	b, err := f.src.Next(f.context())
	if err != nil {
		f.t.Fatalf("next: %v", err)
	}
	data, err := syncline.AppendBatch(nil, b)
	if err != nil {
		f.t.Fatal(err)
	}
	stored, err := syncline.DecodeBatch(data)
	if err != nil {
		f.t.Fatal(err)
	}
	last := syncline.Position{}
	if all := slices.Concat(f.log, f.given); len(all) > 0 {
		last = all[len(all)-1].Position
	}
	if stored.Position.Compare(last) < 0 || len(stored.Events) > 0 && stored.Chunk == nil && stored.PositionOf(0).Compare(last) <= 0 {
		f.t.Fatalf("a batch to %v after %v", stored.Position, last)
	}
	f.given = append(f.given, stored)
	return stored
}

// append makes what was given durable, and tells the source.
func (f *follower) append(confirm bool) {
	f.log = append(f.log, f.given...)
	f.given = nil
	if confirm && len(f.log) > 0 {
		f.src.Confirm(f.log[len(f.log)-1].Position)
	}
}

// start asks for a run and returns its id.
func (f *follower) start(r syncline.Run) string {
	f.t.Helper()
	f.runs++
	r.ID = "run-" + string(rune('a'+f.runs%26)) + time.Now().Format(".000000000")
	if err := f.src.StartRun(r); err != nil {
		f.t.Fatalf("start %s: %v", r.Kind, err)
	}
	return r.ID
}

// run carries out a run and returns its last chunk.
func (f *follower) run(r syncline.Run) *syncline.Chunk {
	f.t.Helper()
	return f.until(f.start(r))
}

func (f *follower) until(id string) *syncline.Chunk {
	f.t.Helper()
	for {
		b := f.next()
		f.append(true)
		if b.Chunk != nil && b.Chunk.Run == id && b.Chunk.Last {
			return b.Chunk
		}
	}
}

// poll asks an entity for what is new, and returns the events of that as texts.
func (f *follower) poll(entity string) []string {
	f.t.Helper()
	return f.events(syncline.Run{Kind: syncline.RunPoll, Entity: entity})
}

func (f *follower) events(r syncline.Run) []string {
	f.t.Helper()
	from := len(f.log)
	if c := f.run(r); c.Failed != "" {
		f.t.Fatalf("%s: %s", r.Kind, c.Failed)
	}
	return told(f.log[from:])
}

// told are the events of batches as texts: what happened, and the record.
func told(log []*syncline.Batch) []string {
	var list []string
	for _, b := range log {
		for i := range b.Events {
			e := &b.Events[i]
			list = append(list, e.Op.String()+" "+text(e.Row()))
		}
	}
	sort.Strings(list)
	return list
}

// text is a row, its columns joined by |, null and what is not set as nothing.
func text(r syncline.Row) string {
	parts := make([]string, len(r.Values))
	for i, v := range r.Values {
		if !v.IsNull() && !v.IsUnset() {
			parts[i] = v.Text()
		}
	}
	return strings.Join(parts, "|")
}

// mirror is what a target holds that applies the log in order.
func (f *follower) mirror(entity string) []string {
	held := map[syncline.Key]string{}
	for _, b := range f.log {
		for i := range b.Events {
			e := &b.Events[i]
			if e.Schema.Entity != entity {
				continue
			}
			key, _ := e.Key()
			if e.After == nil {
				delete(held, key)
				continue
			}
			held[key] = text(e.Row())
		}
	}
	list := make([]string, 0, len(held))
	for _, row := range held {
		list = append(list, row)
	}
	sort.Strings(list)
	return list
}
