package poll

import (
	"slices"
	"time"
)

// maxPast bounds the polls that are remembered while a transaction is open for long.
const maxPast = 64

// margin is what a database may be late to tell of a transaction that has begun.
const margin = time.Second

// Progress is how far an entity has been read, as the log keeps it.
//
// A watermark says nothing of the order of commits: a transaction takes it (a time, a number of a sequence) and may commit long after
// others that took higher ones. So a poll first reads a part below the watermark again, from the watermark that was the highest when the
// oldest of the transactions began that were open at the last poll: whoever takes his watermark in order of time cannot be below it.
// Where rows tell who wrote them, those are left out there that the last poll was sure to see.
type Progress struct {
	// Mark is the highest watermark that was read to; nil = none.
	Mark []string `json:"mark,omitempty"`
	// Low is where the next poll reads again from; nil = from the beginning.
	Low []string `json:"low,omitempty"`
	// Since is the lowest transaction that the last poll may have missed; 0 = nobody knows.
	Since uint64 `json:"since,omitempty"`
	// Clock is the latest that the database's clock ever was, in microseconds.
	Clock int64 `json:"clock,omitempty"`
	// Line is the history of the database that this is about.
	Line string `json:"line,omitempty"`
	// Past are the polls that open transactions may have begun before, the oldest first.
	Past []past `json:"past,omitempty"`
}

// past is a poll that began.
type past struct {
	// At is the database's clock, in microseconds, and Next the first transaction number that was not given out.
	At   int64  `json:"at"`
	Next uint64 `json:"next,omitempty"`
	// Mark was the highest watermark that had been seen before; nil = none.
	Mark []string `json:"mark,omitempty"`
}

// Reached returns the progress of a poll that asked for the horizon and then read whatever is new up to the watermark. It may have read
// more; the next poll begins there. before is the highest watermark that was seen before the horizon; nil = none.
func (p Progress) Reached(h Horizon, before, mark []string) Progress {
	now := Progress{Mark: mark, Line: h.Line, Clock: max(p.Clock, h.Clock.UnixMicro())}
	if back := now.Clock - h.Clock.UnixMicro(); back > margin.Microseconds() {
		now.Past = p.Past
		return now // until the clock is where it was, new watermarks may be below those that were read
	}
	if !h.Open {
		now.Low = mark
		return now
	}
	now.Since = h.Xmin
	now.Past = append(slices.Clone(p.Past), past{At: h.Clock.UnixMicro(), Next: h.Xmax, Mark: before})
	// A transaction that this poll may have missed began after this time, or got its number after this one.
	began := h.Clock
	if !h.Oldest.IsZero() && h.Oldest.Before(began) {
		began = h.Oldest
	}
	began = began.Add(-margin)
	from := -1
	for i, o := range now.Past {
		if o.At <= began.UnixMicro() && o.Next <= h.Xmin {
			from = i
		}
	}
	if h.Prepared {
		from = min(from, 0) // what the last poll went back to is far enough: by then they were open, or had not begun
	}
	if from < 0 { // it began before anything was read
		now.Past = thin(now.Past)
		return now
	}
	now.Low = now.Past[from].Mark
	now.Past = thin(now.Past[from:])
	return now
}

// thin leaves out every other poll where there are many. The first one stays, and to go back farther than needed is always right.
func thin(list []past) []past {
	if len(list) <= maxPast {
		return list
	}
	var kept []past
	for i, o := range list {
		if i%2 == 0 {
			kept = append(kept, o)
		}
	}
	return kept
}

// ranges are what is read again, below the watermark, and what is new. numbered: rows tell who wrote them.
func (p Progress) ranges(numbered bool) (again, fresh Range) {
	again, fresh = Range{From: p.Low, To: p.Mark, Overlap: true}, Range{Above: p.Mark}
	if numbered {
		again.Since = p.Since
	}
	return again, fresh
}

// lost reports whether the database is not in the history that this is about: it may lack what was read.
func (p Progress) lost(h Horizon) bool {
	return p.Line != "" && h.Line != "" && p.Line != h.Line || p.Since > h.Xmax && h.Xmax > 0
}
