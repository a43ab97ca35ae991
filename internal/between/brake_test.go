package between

import (
	"strconv"
	"testing"
	"time"

	"syncline"
)

// TestBrake: a key that goes to and fro is left alone for a while, one that is written many times on one side is not, and a copy of many
// keys takes no more memory than is counted.
func TestBrake(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b brake
	for i := range maxTurns + 1 {
		b.note(now, "bounces", i%2)
		b.note(now, "is written", 1)
	}
	for key, want := range map[syncline.Key]bool{"bounces": true, "is written": false, "is new": false} {
		if got := b.holds(now, key); got != want {
			t.Errorf("holds(%s) = %v, want %v", key, got, want)
		}
	}
	for i := range 2 * maxCounted {
		b.note(now, syncline.Key(strconv.Itoa(i)), 0)
	}
	if len(b.turns) != maxCounted || !b.holds(now, "bounces") {
		t.Errorf("%d keys are counted, of at most %d, and the one that bounces is held: %v", len(b.turns), maxCounted, b.holds(now, "bounces"))
	}
	now = now.Add(brakeWindow)
	if b.holds(now, "bounces") {
		t.Error("a key is left alone for ever")
	}
	b.note(now, "later", 0)
	if len(b.turns) != 1 {
		t.Errorf("%d keys are counted after the time is over, want 1", len(b.turns))
	}
}
