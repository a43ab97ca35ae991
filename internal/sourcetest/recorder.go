package sourcetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// recorder plays capture. Its log is a list of stored batches; everything else it knows is lost in a crash.
type recorder struct {
	t      *testing.T
	sys    System
	src    syncline.Source
	polled bool
	// looks counts what a polled source was asked for.
	looks int
	// rng decides how many batches wait before they are appended, and where the recorder crashes.
	rng *rand.Rand

	log     []*syncline.Batch // appended and read back
	pending []*syncline.Batch // taken from the source, not appended
	given   []given           // what the source gave for pending

	// ids has the ids of an entity's events of the stream, from the first time that each was seen.
	ids map[string][]string
}

// given is a batch as the source gave it, and what it was then.
type given struct {
	batch  *syncline.Batch
	stored []byte
}

// record opens the system's first source.
func record(ctx context.Context, t *testing.T, h Harness, sys System, seed uint64) *recorder {
	t.Helper()
	r := &recorder{t: t, sys: sys, polled: h.Polled, rng: rand.New(rand.NewPCG(seed, 2)), ids: map[string][]string{}}
	r.open(ctx)
	t.Cleanup(func() {
		if r.src != nil {
			_ = r.src.Close() // the test has failed already, or closed it
		}
	})
	return r
}

// open opens a new source at the log's end.
func (r *recorder) open(ctx context.Context) {
	r.t.Helper()
	r.src = r.sys.Source(r.t)
	var checkpoint []byte
	var last syncline.Position
	if n := len(r.log); n > 0 {
		checkpoint, last = r.log[n-1].Checkpoint, r.log[n-1].Position
	}
	if err := r.src.Open(ctx, checkpoint, last); err != nil {
		r.t.Fatalf("open at %v: %v", last, err)
	}
}

// crash forgets what was not appended and opens a new source.
func (r *recorder) crash(ctx context.Context) {
	r.t.Helper()
	r.close()
	r.pending, r.given = nil, nil
	r.open(ctx)
}

func (r *recorder) close() {
	r.t.Helper()
	src := r.src
	r.src = nil
	if err := src.Close(); err != nil {
		r.t.Fatalf("close: %v", err)
	}
}

// next takes one batch, checks it, and appends what waits unless it chooses to let it wait.
func (r *recorder) next(ctx context.Context) *syncline.Batch {
	r.t.Helper()
	b, err := r.src.Next(ctx)
	if err != nil {
		r.t.Fatalf("next after %d batches: %v", len(r.log)+len(r.pending), err)
	}
	stored, err := syncline.AppendBatch(nil, b)
	if err != nil {
		r.t.Fatalf("store batch: %v", err)
	}
	read, err := syncline.DecodeBatch(stored)
	if err != nil {
		r.t.Fatalf("read stored batch: %v", err)
	}
	r.check(read)
	r.pending, r.given = append(r.pending, read), append(r.given, given{b, stored})
	if read.Sync || len(r.pending) > 2 || r.rng.IntN(3) > 0 {
		r.append()
	}
	return read
}

// append makes everything that waits durable and confirms it, most of the time. A source leaves alone what it gave.
func (r *recorder) append() {
	r.t.Helper()
	for _, g := range r.given {
		if now, err := syncline.AppendBatch(nil, g.batch); err != nil || !bytes.Equal(now, g.stored) {
			r.t.Errorf("the batch to %v changed after it was returned, %v", g.batch.Position, err)
		}
	}
	r.log = append(r.log, r.pending...)
	r.pending, r.given = nil, nil
	if len(r.log) > 0 && r.rng.IntN(4) > 0 {
		r.src.Confirm(r.log[len(r.log)-1].Position)
	}
}

// check fails the test where the batch breaks a promise that holds for every batch.
func (r *recorder) check(b *syncline.Batch) {
	r.t.Helper()
	var last syncline.Position
	var before *syncline.Batch
	if all := r.all(); len(all) > 0 {
		before = all[len(all)-1]
		last = before.Position
		if before.Source != b.Source {
			r.t.Errorf("source is %q, was %q", b.Source, before.Source)
		}
	}
	if b.Source == "" || len(b.Checkpoint) == 0 || b.Position.Epoch == 0 {
		r.t.Errorf("batch at %v with source %q, checkpoint of %d bytes", b.Position, b.Source, len(b.Checkpoint))
	}
	if b.Position.Compare(last) < 0 {
		r.t.Errorf("position goes back from %v to %v", last, b.Position)
	}
	if len(b.Events) > 5000 {
		r.t.Errorf("batch of %d events", len(b.Events))
	}
	if b.Chunk != nil {
		r.checkChunk(b)
		return
	}
	for i := range b.Events {
		p := b.PositionOf(i)
		if p.Compare(last) <= 0 || p.Ordinal == 0 {
			r.t.Errorf("event at %v after %v", p, last)
		}
		if i == 0 && before != nil && before.Chunk == nil && last.Commit == p.Commit && !before.Partial {
			r.t.Errorf("batch at %v does not say that its transaction goes on", last)
		}
		last = p
	}
	if last.Compare(b.Position) > 0 {
		r.t.Errorf("event at %v in a batch that ends at %v", last, b.Position)
	}
	r.checkIDs(b)
}

// checkIDs compares the ids of events that come again after a crash. Events of a table without a key may be left out until
// its copy is in the log, because the copy has them in it. What a polled source finds after a crash are other events.
func (r *recorder) checkIDs(b *syncline.Batch) {
	r.t.Helper()
	if r.polled {
		return
	}
	seen := map[string]int{}
	for _, o := range r.all() {
		for i := range o.Events {
			if o.Chunk == nil {
				seen[o.Events[i].Schema.Entity]++
			}
		}
	}
	for i := range b.Events {
		entity := b.Events[i].Schema.Entity
		if entity == Loose && !ended(r.log, syncline.RunSnapshot, Loose, "") {
			continue
		}
		n, id := seen[entity], b.EventID(i)
		seen[entity]++
		if n < len(r.ids[entity]) && r.ids[entity][n] != id {
			r.t.Errorf("event %d of %s comes again as %q, was %q", n, entity, id, r.ids[entity][n])
		}
		if n == len(r.ids[entity]) {
			r.ids[entity] = append(r.ids[entity], id)
		}
	}
}

func (r *recorder) checkChunk(b *syncline.Batch) {
	r.t.Helper()
	c := b.Chunk
	var number uint32
	first := true
	for _, o := range r.all() {
		if o.Chunk == nil || o.Chunk.Run != c.Run {
			continue
		}
		number = o.Chunk.Number
		first = first && o.Chunk.Entity != c.Entity
		if o.Chunk.Entity == c.Entity && o.Chunk.Last {
			r.t.Errorf("run %s of %s goes on after its last chunk", c.Run, c.Entity)
		}
	}
	if c.Run == "" || c.Entity == "" || c.Number <= number {
		r.t.Errorf("chunk %d of run %q of %q after chunk %d", c.Number, c.Run, c.Entity, number)
	}
	if c.First != first && !(c.First && c.Reset) { // a copy that was cut may begin anew, with a reset
		r.t.Errorf("chunk %d of run %s: first is %t, want %t", c.Number, c.Run, c.First, first)
	}
	var ordinal uint32
	for i := range b.Events {
		e := &b.Events[i]
		if e.Ordinal <= ordinal {
			r.t.Errorf("run %s: ordinal %d after %d", c.Run, e.Ordinal, ordinal)
		}
		ordinal = e.Ordinal
		if e.Schema.Entity != c.Entity {
			r.t.Errorf("row of %s in a chunk of %s", e.Schema.Entity, c.Entity)
		}
		keys := c.Kind == syncline.RunKeys
		switch {
		case !keys && e.Op == syncline.OpSnapshot && e.Row().Whole(), keys && e.Op == syncline.OpRepair && e.Row().Whole():
		case keys && e.Op == syncline.OpAbsent:
			if _, ok := e.Key(); !ok || e.After != nil {
				r.t.Errorf("run %s: an absent record without its key, or with a row", c.Run)
			}
		default:
			r.t.Errorf("run %s: %s of %s, whole: %t", c.Run, e.Op, c.Entity, e.Row().Whole())
		}
	}
}

// all returns what was appended and what waits.
func (r *recorder) all() []*syncline.Batch {
	return append(r.log[:len(r.log):len(r.log)], r.pending...)
}

// streamed is the number of events of the stream in all().
func (r *recorder) streamed() int {
	n := 0
	for _, b := range r.all() {
		if b.Chunk == nil {
			n += len(b.Events)
		}
	}
	return n
}

// runEnded reports whether the last chunk of a run of this kind has come for the entity; id "" = any run.
func (r *recorder) runEnded(kind syncline.RunKind, entity, id string) bool {
	return ended(r.all(), kind, entity, id)
}

func ended(batches []*syncline.Batch, kind syncline.RunKind, entity, id string) bool {
	for _, b := range batches {
		if c := b.Chunk; c != nil && c.Last && c.Kind == kind && c.Entity == entity && (id == "" || c.Run == id) {
			return true
		}
	}
	return false
}

// until takes batches until done, and appends them all.
func (r *recorder) until(ctx context.Context, done func() bool) {
	r.t.Helper()
	for !done() {
		r.next(ctx)
	}
	r.append()
}

// catchUp takes batches until the stream has everything that the application committed.
func (r *recorder) catchUp(ctx context.Context, a *application) {
	r.t.Helper()
	if r.polled {
		r.look(ctx, a.entities)
		return
	}
	r.until(ctx, func() bool { return r.streamed() >= len(a.committed) })
}

// look has a polled source tell of all that has changed, and of what is gone.
func (r *recorder) look(ctx context.Context, entities []string) {
	r.t.Helper()
	for _, kind := range []syncline.RunKind{syncline.RunPoll, syncline.RunSweep} {
		for _, e := range entities {
			r.looks++
			run := syncline.Run{ID: fmt.Sprintf("look-%d", r.looks), Kind: kind, Entity: e, Force: true}
			r.start(run)
			r.until(ctx, func() bool { return r.runEnded(kind, e, run.ID) })
			if c := r.log[len(r.log)-1].Chunk; c == nil || c.Failed != "" {
				r.t.Fatalf("%s of %s: %+v", kind, e, c)
			}
		}
	}
}

// wantStream compares the events of the stream with what was committed, in order. Those of a polled source have ids of their own, and no more
// is promised of them by themselves.
func (r *recorder) wantStream(a *application) {
	r.t.Helper()
	n := 0
	seen := map[string]bool{}
	for _, b := range r.log {
		for i := range b.Events {
			id := b.EventID(i)
			if seen[id] {
				r.t.Errorf("two events have id %q", id)
			}
			seen[id] = true
			if b.Chunk != nil || r.polled {
				continue
			}
			if n < len(a.committed) {
				if err := a.committed[n].match(&b.Events[i]); err != nil {
					r.t.Fatalf("event %d: %v", n, err)
				}
			}
			n++
		}
	}
	if n != len(a.committed) && !r.polled {
		r.t.Errorf("%d events, want %d", n, len(a.committed))
	}
}

// wantRows compares what a mirror that applied the log holds with the system's tables.
func (r *recorder) wantRows(ctx context.Context, entities []string) {
	r.t.Helper()
	m := newMirror(r)
	for _, e := range entities {
		r.readMissing(ctx, m, e)
		want := r.sys.Rows(r.t, e)
		if diff := cmp.Diff(printed(want), printed(m.rows(e))); diff != "" {
			r.t.Errorf("%s differs from the system's table (-want +got):\n%s", e, diff)
		}
	}
}
