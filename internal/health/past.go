package health

import (
	"slices"
	"time"
)

// Trend says where a route's lag goes.
type Trend string

// The trends.
const (
	Growing   Trend = "growing"
	Steady    Trend = "steady"
	Shrinking Trend = "shrinking"
)

// Past is how a route's lag was lately.
type Past struct {
	Span        float64 `json:"span_seconds" doc:"How far back the following goes: an hour at most."`
	MaxSeconds  float64 `json:"max_seconds"`
	MeanSeconds float64 `json:"mean_seconds"`
	Trend       Trend   `json:"trend" enum:"growing,steady,shrinking" doc:"Where the number of events has gone in the last five minutes."`
	PerSecond   float64 `json:"events_per_second" doc:"By how many events a second the lag has grown in the last five minutes; negative where it has shrunk."`
	// CatchUp is nil where the lag does not shrink, or there is none.
	CatchUp *float64 `json:"catch_up_seconds" doc:"When the route will have caught up, if it goes on so; null where it does not."`
}

const (
	// lagEvery is the least time between two samples, lagSpan how far back is looked, for which lagSamples are enough.
	lagEvery   = 10 * time.Second
	lagSpan    = time.Hour
	lagSamples = int(lagSpan / lagEvery)
	// trendSpan is how far back a trend looks.
	trendSpan = 5 * time.Minute
)

// Record remembers how one route's lag was. The zero value remembers nothing.
type Record struct {
	samples []sample // a ring; next is the place of the next one once it is full
	next    int
}

type sample struct {
	at      time.Time
	events  int64
	seconds float64
}

// Add takes note of how it is now. What comes too soon after the one before is left out.
func (r *Record) Add(now time.Time, l *Lag) {
	if last, ok := r.last(); ok && now.Sub(last.at) < lagEvery {
		return
	}
	s := sample{now, l.Events, l.Seconds(now)}
	if len(r.samples) < lagSamples {
		r.samples = append(r.samples, s)
		return
	}
	r.samples[r.next] = s
	r.next = (r.next + 1) % lagSamples
}

func (r *Record) last() (sample, bool) {
	if len(r.samples) == 0 {
		return sample{}, false
	}
	return r.samples[(r.next+len(r.samples)-1)%len(r.samples)], true
}

// Past sums up what is remembered. A trend is the slope that lies in the middle of those between all samples (Theil and Sen's): what was under way
// when a sample was taken is no trend, as it would be by least squares. Where it would change the lag by less than a hundredth in five
// minutes, and where nothing lags, it is steady.
func (r *Record) Past(now time.Time) Past {
	p := Past{Trend: Steady}
	var sum float64
	var recent []sample
	kept := 0
	for i := range r.samples {
		s := r.samples[(r.next+i)%len(r.samples)]
		if now.Sub(s.at) > lagSpan {
			continue
		}
		kept++
		p.Span = max(p.Span, now.Sub(s.at).Seconds())
		p.MaxSeconds = max(p.MaxSeconds, s.seconds)
		sum += s.seconds
		if now.Sub(s.at) <= trendSpan {
			recent = append(recent, s)
		}
	}
	if kept > 0 {
		p.MeanSeconds = sum / float64(kept)
	}
	if len(recent) < 3 {
		return p
	}
	last := recent[len(recent)-1]
	if last.events == 0 {
		return p
	}
	p.PerSecond = slope(recent)
	switch change := p.PerSecond * trendSpan.Seconds(); {
	case change > max(1, float64(last.events)/100):
		p.Trend = Growing
	case -change > max(1, float64(last.events)/100):
		p.Trend = Shrinking
		wait := float64(last.events) / -p.PerSecond
		p.CatchUp = &wait
	}
	return p
}

// slope is in events per second; 0 where the samples say nothing of it.
func slope(of []sample) float64 {
	var list []float64
	for i := range of {
		for _, later := range of[i+1:] {
			if seconds := later.at.Sub(of[i].at).Seconds(); seconds > 0 {
				list = append(list, float64(later.events-of[i].events)/seconds)
			}
		}
	}
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}
