package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// plan is everything that a seed decides: what the tables and rules are like, and which faults come when. Two runs of one plan differ in how
// the operating system schedules them, and in nothing that was chosen.
type plan struct {
	Seed  uint64
	Time  time.Duration
	Shape shape
	Steps []step // in the order in which they begin
}

// shape is what the world of a plan is like.
type shape struct {
	Rows    int // keys of reg that writers fight over
	Orders  int // orders of line, of up to nine lines each
	Writers int
	Pause   time.Duration // of a writer between two transactions
	Big     int           // bytes of a large value, which is not always sent
	Wide    int           // one of so many large values has 40 times that
	Bad     int           // one of so many writes of the first keys is one that the warehouse refuses
	// FullIdentity has line send its old rows whole.
	FullIdentity bool
	// Batch is the batch.max_rows of the rules: small batches have more borders.
	Batch int
	// Gold has a rule with a condition, too: records enter and leave it.
	Gold bool
	// Group has reg and line move together to the warehouse.
	Group bool
	// Urgent has half of the writes of line a high priority: they overtake others where a route is behind.
	Urgent bool
	// Sides has a two-way rule, too, between two databases that are both written.
	Sides sidesShape
	// Ranked has deals decided by who says it, instead of by when.
	Ranked bool
	// Alter has columns of reg come and go.
	Alter bool
	// Truncate has line emptied at times.
	Truncate bool
}

// step is a fault of a plan.
type step struct {
	At, Hold time.Duration // when it begins, after the start; how long it lasts
	Fault    string
	Seed     uint64 // its details are chosen from it
}

// makePlan makes the plan of a seed with faults of this list. It depends on nothing else.
func makePlan(seed uint64, length time.Duration, list []fault) plan {
	rnd := rand.New(rand.NewPCG(seed, 0x5eed))
	p := plan{Seed: seed, Time: length, Shape: shape{
		Rows: 30 + rnd.IntN(120), Orders: 4 + rnd.IntN(20), Writers: 2 + rnd.IntN(3), Pause: time.Duration(rnd.IntN(12)) * time.Millisecond,
		Big: 8<<10 + rnd.IntN(8<<10), Wide: 20 + rnd.IntN(60), Bad: 10 + rnd.IntN(40), FullIdentity: rnd.IntN(2) == 0,
		Batch: []int{7, 100, 1000, 5000}[rnd.IntN(4)], Gold: rnd.IntN(3) > 0, Group: rnd.IntN(3) == 0, Alter: rnd.IntN(3) > 0, Truncate: rnd.IntN(3) > 0,
		Urgent: seed%3 > 0, Ranked: seed%2 > 0, Sides: makeSides(seed),
	}}
	if len(list) == 0 {
		return p
	}
	drawn := byWeight(list)
	for at := time.Duration(1000+rnd.IntN(1500)) * time.Millisecond; at < length; {
		taken := make(map[string]bool)
		var last time.Duration
		n := rnd.IntN(4) // a quarter of the rounds is quiet
		for range n {
			f := drawn[rnd.IntN(len(drawn))]
			if taken[f.group] || f.alone && len(taken) > 0 {
				continue
			}
			taken[f.group] = true
			s := step{At: at + time.Duration(rnd.IntN(800))*time.Millisecond, Fault: f.name, Seed: rnd.Uint64()}
			s.Hold = f.least + time.Duration(rnd.Float64()*float64(f.most-f.least))
			last = max(last, s.At-at+s.Hold)
			p.Steps = append(p.Steps, s)
			if f.alone {
				break
			}
		}
		at += last + time.Duration(500+rnd.IntN(2500))*time.Millisecond
	}
	// No round begins before the one before it is over, so that this moves steps within rounds only.
	slices.SortStableFunc(p.Steps, func(a, b step) int { return cmp.Compare(a.At, b.At) })
	return p
}

// byWeight has each fault as often as its weight says, to be drawn from.
func byWeight(list []fault) (all []fault) {
	for _, f := range list {
		all = append(all, slices.Repeat([]fault{f}, f.weight)...)
	}
	return all
}

// has reports whether the fault is in the plan.
func (p plan) has(name string) bool {
	return slices.ContainsFunc(p.Steps, func(s step) bool { return s.Fault == name })
}

// String is the plan as -n prints it.
func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %s\n%+v\n", p.Seed, p.Time, p.Shape)
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%8.3fs  %-18s for %.3fs  (%x)\n", s.At.Seconds(), s.Fault, s.Hold.Seconds(), s.Seed)
	}
	return b.String()
}
