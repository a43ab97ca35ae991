package timetable

import "time"

// A cron expression is reckoned on the face of a local clock, which the parser takes for UTC: its own way of following a zone leaves out
// what the clocks skip and repeats what they show twice. What is found on the face is taken to a moment here.

// face is what a local clock shows at a moment, as if it were UTC.
func (t *Table) face(at time.Time) time.Time {
	return at.UTC().Add(offset(at.In(t.zone)))
}

// offset is how far the local clock is ahead of UTC.
func offset(local time.Time) time.Duration {
	_, seconds := local.Zone()
	return time.Duration(seconds) * time.Second
}

// nextFace searches further than the parser's five years: 29 February can be eight years away.
func (t *Table) nextFace(after time.Time) time.Time {
	for range 3 {
		if next := t.spec.Next(after); !next.IsZero() {
			return next
		}
		after = after.AddDate(4, 0, 0)
	}
	return time.Time{}
}

// nextLocal returns the next occurrence of local times. Faces come in their order, and so do the moments when they are shown first.
func (t *Table) nextLocal(after time.Time) time.Time {
	for shown := t.nextFace(t.face(after)); !shown.IsZero(); shown = t.nextFace(shown) {
		if at := t.moment(shown); at.After(after) {
			return at
		}
	}
	return time.Time{}
}

// moment is when a local clock shows a face for the first time, or skips it.
func (t *Table) moment(shown time.Time) time.Time {
	near := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), 0, t.zone)
	begin, end := near.ZoneBounds()
	offsets := []time.Duration{offset(near)}
	if !begin.IsZero() {
		offsets = append(offsets, offset(begin.Add(-1)))
	}
	if !end.IsZero() {
		offsets = append(offsets, offset(end))
	}
	var first time.Time
	for _, o := range offsets {
		if at := shown.Add(-o); t.face(at).Equal(shown) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, change := range []time.Time{begin, end} {
		if first.IsZero() && !change.IsZero() && !t.face(change.Add(-1)).After(shown) && shown.Before(t.face(change)) {
			first = change
		}
	}
	if first.IsZero() { // no zone does this
		first = near
	}
	return first.In(t.zone)
}

// nextInRhythm returns the next occurrence of an expression that names every hour: between two changes of the clocks, faces and moments
// are one to one.
func (t *Table) nextInRhythm(after time.Time) time.Time {
	for range 200 { // changes of the clocks; far more than there are in the years that nextFace searches
		local := after.In(t.zone)
		_, end := local.ZoneBounds()
		shown := t.nextFace(t.face(after))
		if shown.IsZero() {
			return shown
		}
		at := shown.Add(-offset(local)).In(t.zone)
		if end.IsZero() || at.Before(end) {
			return at
		}
		// The first moment behind the change is looked for with the clock that holds there.
		if first := t.nextFace(t.face(end).Add(-1)); first.Equal(t.face(end)) {
			return end.In(t.zone)
		}
		after = end
	}
	return time.Time{}
}
