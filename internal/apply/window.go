package apply

import (
	"time"

	"syncline"
)

// windowed is an entry in hand and its stored size.
type windowed struct {
	entry
	size     int
	appended time.Time
	// reset: the emptying that the batch begins with is planned or done.
	reset bool
}

// wants reports whether the machine takes another entry.
func (m *machine) wants() bool {
	return m.bytes < m.limits.Window && !m.parkedFull()
}

// at is the event that comes next into a plan.
func (m *machine) at() syncline.Cursor {
	if m.planned.entry >= len(m.window) {
		return m.committed
	}
	return syncline.Cursor{Log: m.committed.Log, Seq: m.window[m.planned.entry].seq, Index: m.planned.event, Epoch: m.committed.Epoch}
}

// expects is the sequence number of the entry that comes next.
func (m *machine) expects() syncline.Seq {
	if n := len(m.window); n > 0 {
		return m.window[n-1].seq + 1
	}
	return m.committed.Seq
}

// take adds the entry that follows the last one taken.
func (m *machine) take(d Fed) error {
	seq := d.Seq
	if want := m.expects(); seq != want {
		return syncline.Errorf(syncline.Fatal, "needs_sync", "the log goes on at sequence %d where %d was expected: what was between is gone", seq, want).
			WithFix("%s", anew)
	}
	if len(m.window) == 0 && m.committed.Index > 0 {
		m.planned.event = m.committed.Index
	}
	m.window = append(m.window, &windowed{entry: entry{seq: seq, batch: d.Batch}, size: d.Size, appended: d.Time})
	m.bytes += d.Size
	m.resting = time.Time{}
	m.more, m.due = d.More, true
	return nil
}

// concerns reports whether the route applies the batch's events at all.
func (m *machine) concerns(b *syncline.Batch) bool { return concerns(b, m.slice.Route) }

func concerns(b *syncline.Batch, route string) bool {
	if b.Chunk == nil || len(b.Chunk.Routes) == 0 {
		return true
	}
	for _, r := range b.Chunk.Routes {
		if r == route {
			return true
		}
	}
	return false
}

// forget drops the plan in making: its events are offered again.
func (m *machine) forget() {
	if m.making != nil && m.making.resets != nil {
		m.making.resets.reset = false
	}
	m.making = nil
	m.planned.entry, m.planned.event = 0, 0
	for m.planned.entry < len(m.window) && m.window[m.planned.entry].seq < m.committed.Seq {
		m.planned.entry++
	}
	if m.planned.entry < len(m.window) && m.window[m.planned.entry].seq == m.committed.Seq {
		m.planned.event = m.committed.Index
	}
}

// trim lets go of entries that are done.
func (m *machine) trim() {
	for len(m.window) > 0 && m.window[0].seq < m.committed.Seq {
		m.bytes -= m.window[0].size
		if c := m.window[0].batch.Chunk; c != nil && m.concerns(m.window[0].batch) {
			m.copies.passed(c)
		}
		m.window[0] = nil
		m.window = m.window[1:]
		m.planned.entry--
	}
}

// oldest returns when the oldest entry in hand was appended, the zero time if there is none.
func (m *machine) oldest() time.Time {
	if len(m.window) == 0 {
		return time.Time{}
	}
	return m.window[0].appended
}
