package daemon

import (
	"context"
	"sort"
	"sync"
	"time"

	"syncline"
)

const (
	// maxLines bounds the memory of a tally, however long its log is.
	maxLines = 4096
	// exactBytes is about how much of the log's end is counted by reading it; what is older is estimated from samples. roughBytes is how much
	// of it a start waits for.
	exactBytes = 64 << 20
	roughBytes = 1 << 20
	// samples is the number of entries that stand for what is older.
	samples = 16
)

// tally knows how many events stand between two places of a log and when they came, so that lag is told in events and in
// seconds without reading the log. Near the log's end it is exact; farther back a line stands for many entries, and places
// between are interpolated. It never tells 0 where events are left.
type tally struct {
	mu    sync.Mutex
	lines []line // in order, each up to the next one
	last  syncline.Seq
	total int64
	// loaded is what the log held when it was loaded, and rough what the lines said of that then: estimated for what is before exact, which is 0
	// where nothing is left to count, or somebody counts it.
	loaded syncline.Bounds
	rough  int64
	exact  syncline.Seq
	rate   float64
	at     time.Time
	count  int64
}

// line is one or more entries of the log.
type line struct {
	seq    syncline.Seq // the first one's
	before int64        // events in all lines before
	time   time.Time    // the first one's
}

// load counts roughly what is in the log, which takes milliseconds whatever its size: its last entries exactly, and what is older as if it were
// like them. A route may begin then; refine does the rest beside it.
func (t *tally) load(ctx context.Context, log syncline.Log) error {
	b, err := log.Bounds(ctx)
	if err != nil || b.Last < b.First {
		return err
	}
	size := max(b.Bytes/int64(b.Last-b.First+1), 1)
	exact := b.Last + 1 - min(b.Last-b.First+1, syncline.Seq(max(roughBytes/size, 1)))
	var tail tally
	if err := tail.read(ctx, log, exact, b.Last); err != nil {
		return err
	}
	if exact > b.First {
		e, err := entryAt(ctx, log, b.First)
		if err != nil {
			return err
		}
		older := int64(exact - b.First)
		t.append(b.First, exact-1, max(tail.total*older/int64(b.Last+1-exact), older), e.Time)
	}
	for i, l := range tail.lines {
		end := tail.total
		if i+1 < len(tail.lines) {
			end = tail.lines[i+1].before
		}
		t.append(l.seq, l.seq, end-l.before, l.time)
	}
	t.mu.Lock()
	t.loaded, t.rough = b, t.total
	if exact > b.First {
		t.exact = exact
	}
	t.mu.Unlock()
	return nil
}

// refine counts what load has estimated, where somebody has still to read the log from there: exactly near the end, and from samples before. It
// reads little of the log, whatever its size.
func (t *tally) refine(ctx context.Context, log syncline.Log, from syncline.Seq) error {
	t.mu.Lock()
	b, exact := t.loaded, t.exact
	if from >= exact {
		t.mu.Unlock()
		return nil
	}
	t.exact = 0
	_, joins := t.behindLocked(b.Last)
	t.mu.Unlock()
	if !joins {
		return nil
	}
	err := t.recount(ctx, log, b)
	if err != nil {
		t.mu.Lock()
		t.exact = exact
		t.mu.Unlock()
	}
	return err
}

// recount is what refine does, of what the log held when it was loaded.
func (t *tally) recount(ctx context.Context, log syncline.Log, b syncline.Bounds) error {
	now, err := log.Bounds(ctx)
	if err != nil {
		return err
	}
	size := max(b.Bytes/int64(b.Last-b.First+1), 1)
	if b.First = max(b.First, now.First); b.First > b.Last { // it was purged since
		return nil
	}
	entries := b.Last - b.First + 1
	exact := b.Last + 1 - min(entries, syncline.Seq(max(min(exactBytes/size, maxLines/2), 1)))
	step := (exact-b.First)/samples + 1
	var fine tally
	for seq := b.First; seq < exact; seq += step {
		e, err := entryAt(ctx, log, seq)
		if err != nil {
			return err
		}
		d, err := syncline.DecodeDirectory(e.Data)
		if err != nil {
			return err
		}
		span := min(step, exact-seq)
		fine.append(seq, seq+span-1, int64(max(d.Count, 1))*int64(span), e.Time)
	}
	if err := fine.read(ctx, log, exact, b.Last); err != nil {
		return err
	}
	t.replace(&fine)
	return nil
}

// read counts the entries from first to last.
func (t *tally) read(ctx context.Context, log syncline.Log, first, last syncline.Seq) error {
	r, err := log.Read(ctx, first)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it holds nothing that could be lost
	for {
		e, err := r.Next(ctx)
		if err != nil {
			return err
		}
		d, err := syncline.DecodeDirectory(e.Data)
		if err != nil {
			return err
		}
		t.append(e.Seq, e.Seq, int64(d.Count), e.Time)
		if e.Seq >= last {
			return nil
		}
	}
}

// replace puts what was counted in the place of what load has estimated, before what was appended since.
func (t *tally) replace(fine *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	since, joins := t.behindLocked(fine.last)
	if !joins {
		return
	}
	lines := fine.lines
	for _, l := range t.lines[since:] {
		l.before += fine.total - t.rough
		lines = append(lines, l)
	}
	t.lines, t.last, t.total = lines, max(t.last, fine.last), t.total+fine.total-t.rough
}

// behindLocked returns the first line behind the last entry that the log held when it was loaded, and whether what was counted can stand before
// it: so much may have come since that its lines were joined with older ones. The estimate stays then, until they are purged.
func (t *tally) behindLocked(last syncline.Seq) (line int, joins bool) {
	line = sort.Search(len(t.lines), func(i int) bool { return t.lines[i].seq > last })
	return line, line == len(t.lines) || t.lines[line].seq == last+1 && t.lines[line].before == t.rough
}

// add counts an entry that was appended now.
func (t *tally) add(seq syncline.Seq, events int, when time.Time) {
	t.append(seq, seq, int64(events), when)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count += int64(events)
	if d := when.Sub(t.at); d >= time.Second {
		t.rate, t.at, t.count = float64(t.count)/d.Seconds(), when, 0
	}
}

// append adds a line for the entries from first to last. What is not after all the others is known already.
func (t *tally) append(first, last syncline.Seq, events int64, when time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if first <= t.last {
		return
	}
	for len(t.lines) >= maxLines { // replace may have put in more
		t.coarsenLocked()
	}
	t.lines = append(t.lines, line{seq: first, before: t.total, time: when})
	t.last, t.total = last, t.total+events
}

// coarsenLocked joins the lines of the older half two by two.
func (t *tally) coarsenLocked() {
	half := len(t.lines) / 2
	kept := t.lines[:0]
	for i, l := range t.lines {
		if i >= half || i%2 == 0 {
			kept = append(kept, l)
		}
	}
	t.lines = kept
}

// perSecond is the rate of arrivals lately.
func (t *tally) perSecond(now time.Time) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.at) > 5*time.Second {
		return 0
	}
	return t.rate
}

// lag tells what stands at and after the cursor: events, and when the oldest of them came.
func (t *tally) lag(c syncline.Cursor) (events int64, oldest time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.Seq > t.last || len(t.lines) == 0 {
		return 0, time.Time{}
	}
	i := max(t.lineLocked(c.Seq), 0)
	at, end := t.lines[i], line{seq: t.last + 1, before: t.total, time: t.lines[i].time}
	if i+1 < len(t.lines) {
		end = t.lines[i+1]
	}
	within := end.before - at.before
	if c.Seq > at.seq {
		span, left := int64(end.seq-at.seq), int64(end.seq-c.Seq)
		within = (within*left + span - 1) / span
		at.time = end.time.Add(-end.time.Sub(at.time) / time.Duration(span) * time.Duration(left))
	} else if c.Seq == at.seq {
		within -= int64(c.Index)
	}
	events = t.total - end.before + within
	switch {
	case events <= 0:
		return 0, time.Time{}
	case within > 0:
		return events, at.time
	}
	for i++; i+1 < len(t.lines) && t.lines[i+1].before == t.lines[i].before; {
		i++
	}
	return events, t.lines[i].time
}

// late tells how many of what stands at and after the cursor came before t.
func (t *tally) late(c syncline.Cursor, before time.Time) int64 {
	events, _ := t.lag(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	came := t.total // events of the lines that came before
	for i := len(t.lines) - 1; i >= 0 && !t.lines[i].time.Before(before); i-- {
		came = t.lines[i].before
	}
	return max(events-(t.total-came), 0)
}

// lineLocked returns the line that has the entry, -1 for one that is older than all.
func (t *tally) lineLocked(seq syncline.Seq) int {
	return sort.Search(len(t.lines), func(i int) bool { return t.lines[i].seq > seq }) - 1
}

// forget drops what is below seq.
func (t *tally) forget(below syncline.Seq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.lineLocked(below); i > 0 {
		t.lines = append([]line(nil), t.lines[i:]...)
	}
}
