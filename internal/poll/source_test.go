package poll

import (
	"testing"

	"syncline"
)

// TestOnlyWhatTheEpochHasIsConfirmed: behind a gap, a word that comes late is about the stream of before.
func TestOnlyWhatTheEpochHasIsConfirmed(t *testing.T) {
	s := &Source{epoch: 2, confirmed: 7}
	for _, step := range []struct {
		at   syncline.Position
		want uint64
	}{{syncline.Position{Epoch: 1, Commit: 50}, 7}, {syncline.Position{Epoch: 3, Commit: 60}, 7}, {syncline.Position{Epoch: 2, Commit: 9}, 9}, {syncline.Position{Epoch: 2, Commit: 8}, 9}} {
		if s.Confirm(step.at); s.confirmed != step.want {
			t.Errorf("after Confirm(%s) the source takes %d for safe, want %d", step.at, s.confirmed, step.want)
		}
	}
}
