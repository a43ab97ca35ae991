package capture

import (
	"slices"
	"time"

	"syncline"
	"syncline/internal/state"
)

// admission decides how far and how fast the source may read on in its runs, so that rows of runs yield to live changes: both go through
// one log, and a change waits for the rows that stand before it. While live changes come, the rows that wait for the slowest route that works
// are no more than two chunks, each as large as is applied in a few milliseconds; else they are up to maxUnapplied bytes. It has no
// goroutine, clock or I/O: what happened goes in through its methods, and paces says what the source is to be told.
type admission struct {
	runs map[string]*admitted
	// live is when a change of the stream was appended last.
	live time.Time
	// spill: nothing is read but changes, because their source may not keep them for long.
	spill bool
	// unapplied is what all runs have in the log that is not applied, in bytes.
	unapplied int
}

// admitted is a run that the source reads.
type admitted struct {
	entity string
	routes []string
	want   state.Steering
	// given is the last chunk that came out of the source, upto the last that it may begin with, since granted.
	given, upto uint32
	granted     time.Time
	// next is when the rate allows for another chunk.
	next time.Time
	// waits are chunks in the order in which they came that are not applied, freed is when one of them last was.
	waits []waits
	freed time.Time
	// read and apply are how many rows a chunk may have so that it is read, or applied, in the time that it may take.
	read, apply size
	told        syncline.Pace
	telling     bool // told was said
}

// waits is a chunk that is on its way.
type waits struct {
	number uint32
	rows   int
	bytes  int
	seq    syncline.Seq // 0 = not in the log yet
	since  time.Time
}

const (
	// liveFor is for how long after a change more of them are expected.
	liveFor = time.Second
	// maxUnapplied bounds what no route has applied yet while there are no changes.
	maxUnapplied = 8 << 20
	// readIn is how long a chunk may be read, applyIn how long one is applied while changes wait behind it.
	readIn  = 250 * time.Millisecond
	applyIn = 15 * time.Millisecond

	fewestRows, mostRows = 100, 32_000
	// aheadChunks is how many chunks the source may go on by itself while there are no changes.
	aheadChunks = 4
	// lookEvery is how often it is looked whether a chunk was applied that another one waits for.
	lookEvery = 3 * time.Millisecond
)

// size is a number of rows that is to take a certain time.
type size struct {
	rows int
	// measured rows took this long so far; there is a new size once they are as many as a chunk has.
	measured int
	took     time.Duration
}

// add takes over that this many rows took this long. The size follows by no more than a factor of two.
func (z *size) add(rows int, took, aim time.Duration) {
	z.measured, z.took = z.measured+rows, z.took+took
	if z.measured < z.rows {
		return
	}
	fits := mostRows
	if z.took > 0 {
		fits = int(min(float64(z.measured)*float64(aim)/float64(z.took), mostRows))
	}
	z.rows = min(max(fits, z.rows/2, fewestRows), 2*z.rows, mostRows)
	z.measured, z.took = 0, 0
}

// admit adds a run, or takes over what is wanted of it now. Named records and what else is not a copy is read at once: routes wait for it.
func (a *admission) admit(row *state.RunRow, now time.Time) {
	if row.Kind != syncline.RunFull && row.Kind != syncline.RunSnapshot {
		return
	}
	r := a.runs[row.ID]
	if r == nil {
		if a.runs == nil {
			a.runs = make(map[string]*admitted)
		}
		r = &admitted{entity: row.Entity, routes: row.Routes, given: row.Chunks, granted: now, read: size{rows: 2000}, apply: size{rows: 500}}
		a.runs[row.ID] = r
	}
	if row.Rate != r.want.Rate {
		r.next = now
	}
	r.want = row.Steering
	r.want.Cancelled = givenUp(row)
}

// forget drops a run.
func (a *admission) forget(id string) {
	if r := a.runs[id]; r != nil {
		for _, w := range r.waits {
			a.unapplied -= w.bytes
		}
		delete(a.runs, id)
	}
}

// came takes over that the source gave a chunk that was read of so many rows.
func (a *admission) came(c *syncline.Chunk, rows, bytes int, now time.Time) {
	r := a.runs[c.Run]
	if r == nil {
		return
	}
	r.read.add(rows, now.Sub(r.granted), readIn)
	r.granted, r.given = now, max(r.given, c.Number)
	if rate := r.want.Rate; rate > 0 {
		if r.next.Before(now) {
			r.next = now
		}
		r.next = r.next.Add(time.Duration(float64(rows) / float64(rate) * float64(time.Second)))
	}
	r.waits = append(r.waits, waits{number: c.Number, rows: rows, bytes: bytes})
	a.unapplied += bytes
}

// appended takes over that a batch is in the log.
func (a *admission) appended(b *syncline.Batch, seq syncline.Seq, now time.Time) {
	if b.Chunk == nil {
		if len(b.Events) > 0 {
			a.live = now
		}
		return
	}
	r := a.runs[b.Chunk.Run]
	if r == nil {
		return
	}
	for i := range r.waits {
		if r.waits[i].number == b.Chunk.Number {
			r.waits[i].seq, r.waits[i].since = seq, now
		}
	}
	if b.Chunk.Last {
		a.forget(b.Chunk.Run)
	}
}

// look takes over what was applied: applied returns for a run the entry of the log below which everything is.
func (a *admission) look(applied func(entity string, routes []string) syncline.Seq, now time.Time) {
	for _, r := range a.runs {
		if len(r.waits) == 0 || r.waits[0].seq == 0 {
			continue
		}
		below := applied(r.entity, r.routes)
		for len(r.waits) > 0 && r.waits[0].seq != 0 && r.waits[0].seq < below {
			w := r.waits[0]
			from := w.since
			if r.freed.After(from) {
				from = r.freed
			}
			r.apply.add(w.rows, now.Sub(from), applyIn)
			r.freed, r.waits = now, r.waits[1:]
			a.unapplied -= w.bytes
		}
	}
}

// paced is what the source is to be told.
type paced struct {
	run string
	to  syncline.Pace
}

// paces decides what the source is to be told now, in the order of ids, and when it is to be asked again; zero = once something happens.
func (a *admission) paces(now time.Time) (tell []paced, again time.Time) {
	sooner := func(t time.Time) {
		if again.IsZero() || t.Before(again) {
			again = t
		}
	}
	for id, r := range a.runs {
		to, at := r.pace(now, now.Sub(a.live) < liveFor, a.unapplied)
		if a.spill {
			to.Upto, at = r.given, time.Time{}
		}
		if !at.IsZero() {
			sooner(at)
		}
		if r.telling && r.told == to {
			continue
		}
		if to.Upto > r.upto && r.upto <= r.given {
			r.granted = now
		}
		r.told, r.telling, r.upto = to, true, to.Upto
		tell = append(tell, paced{id, to})
	}
	slices.SortFunc(tell, func(a, b paced) int {
		if a.run < b.run {
			return -1
		}
		return 1
	})
	return tell, again
}

// pace is how the run is to be read now, and when to look again.
func (r *admitted) pace(now time.Time, live bool, unapplied int) (to syncline.Pace, again time.Time) {
	to = syncline.Pace{Upto: r.given, Rows: r.read.rows, End: r.want.Cancelled}
	if live {
		to.Rows = min(to.Rows, r.apply.rows)
	}
	if rate := r.want.Rate; rate > 0 { // four chunks a second are even enough
		to.Rows = int(max(min(int64(to.Rows), rate/4), 1))
	}
	look := time.Time{}
	if len(r.waits) > 0 {
		look = now.Add(lookEvery)
	}
	switch {
	case r.want.Held, r.want.Cancelled:
		return to, time.Time{}
	case now.Before(r.next):
		return to, r.next
	case live && len(r.waits) >= 2, unapplied > maxUnapplied:
		return to, look
	case live || r.want.Rate > 0:
		to.Upto = r.given + 1
	default:
		to.Upto = r.given + aheadChunks
	}
	return to, look
}
