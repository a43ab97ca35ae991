package daemon

import (
	"context"
	"sort"
	"sync"
	"time"

	"syncline"
)

// tally knows how many events stand between two places of a log and when they came, so that lag is told in events and in
// seconds without reading the log.
type tally struct {
	mu    sync.Mutex
	lines []line // consecutive
	total int64
	rate  float64
	at    time.Time
	count int64
}

// line is one batch of the log.
type line struct {
	seq    syncline.Seq
	events int32
	before int64 // events in all lines before
	time   time.Time
}

// load counts what is in the log from seq on.
func (t *tally) load(ctx context.Context, log syncline.Log, from syncline.Seq) error {
	bounds, err := log.Bounds(ctx)
	if err != nil {
		return err
	}
	from = max(from, bounds.First)
	if from > bounds.Last {
		return nil
	}
	r, err := log.Read(ctx, from)
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
		t.add(e.Seq, d.Count, e.Time)
		if e.Seq >= bounds.Last {
			return nil
		}
	}
}

func (t *tally) add(seq syncline.Seq, events int, when time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.lines); n > 0 && seq != t.lines[n-1].seq+1 {
		if seq <= t.lines[n-1].seq {
			return
		}
		t.lines = nil
	}
	t.lines = append(t.lines, line{seq: seq, events: int32(events), before: t.total, time: when})
	t.total += int64(events)
	t.count += int64(events)
	if d := when.Sub(t.at); d >= time.Second {
		t.rate, t.at, t.count = float64(t.count)/d.Seconds(), when, 0
	}
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
	i := sort.Search(len(t.lines), func(i int) bool { return t.lines[i].seq >= c.Seq })
	if i == len(t.lines) {
		return 0, time.Time{}
	}
	events = t.total - t.lines[i].before
	if t.lines[i].seq == c.Seq {
		events -= int64(c.Index)
	}
	if events <= 0 {
		return 0, time.Time{}
	}
	for ; i < len(t.lines); i++ {
		if t.lines[i].events > 0 {
			return events, t.lines[i].time
		}
	}
	return events, time.Time{}
}

// forget drops what is below seq.
func (t *tally) forget(below syncline.Seq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := sort.Search(len(t.lines), func(i int) bool { return t.lines[i].seq >= below })
	t.lines = append([]line(nil), t.lines[i:]...)
}
