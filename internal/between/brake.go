package between

import (
	"time"

	"syncline"
)

// brake notices a key that goes to and fro: what is written on one side comes back changed, and what is then written on the other one
// too. Databases do that where triggers on both sides change what is written, each in its own way. People who work on one record on both
// sides at once can look the same for a while; they lose nothing but some seconds. It belongs to the owner of the pair.
type brake struct {
	since time.Time
	turns map[syncline.Key]turns
}

// turns counts how often a key was written on the other side than the time before.
type turns struct {
	side, n int
}

const (
	// brakeWindow is how long turns are counted, and so how long a key that went to and fro is left alone.
	brakeWindow = 10 * time.Second
	// maxTurns is how many there may be in that time.
	maxTurns = 100
	// maxCounted is of how many keys they are counted. Who copies more than that does not notice what goes to and fro, until there is less
	// to do.
	maxCounted = 20_000
)

// note takes note that the key was written on a side, and on no other.
func (b *brake) note(now time.Time, key syncline.Key, side int) {
	if b.turns == nil || now.Sub(b.since) >= brakeWindow {
		b.since, b.turns = now, make(map[syncline.Key]turns)
	}
	t, known := b.turns[key]
	if !known && len(b.turns) == maxCounted {
		return
	}
	if known && t.side != side {
		t.n++
	}
	t.side = side
	b.turns[key] = t
}

// holds reports whether the key is to be left alone.
func (b *brake) holds(now time.Time, key syncline.Key) bool {
	return b.turns[key].n >= maxTurns && now.Sub(b.since) < brakeWindow
}
