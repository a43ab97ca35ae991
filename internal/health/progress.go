package health

import "time"

// Place is where a route stands in its log.
type Place struct {
	Log   string
	Seq   uint64
	Index int
}

// Sighting is how a route was found.
type Sighting struct {
	Place Place
	// Done counts what it has done: it grows with retries too, which do not move the place.
	Done int64
	// Wanted: it has something to do, and nothing holds it back.
	Wanted bool
}

// Progress remembers when a route got on last. The zero value has not seen it yet.
type Progress struct {
	last  Sighting
	since time.Time // when it began to stand still with something to do; zero = it does not
}

// Look takes note of how the route is now, and returns for how long it has stood still with something to do.
func (p *Progress) Look(now time.Time, s Sighting) time.Duration {
	moved := s.Place != p.last.Place || s.Done != p.last.Done
	p.last = s
	switch {
	case !s.Wanted:
		p.since = time.Time{}
		return 0
	case moved || p.since.IsZero():
		p.since = now
	}
	return max(now.Sub(p.since), 0)
}
