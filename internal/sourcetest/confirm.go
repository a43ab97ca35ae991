package sourcetest

import (
	"testing"

	"syncline"
)

// OfItsEpoch checks that a source of epoch 2, of which 7 is confirmed, takes as confirmed what is said of this epoch only: behind a gap, a word
// that comes late is about the stream of before.
func OfItsEpoch(t *testing.T, confirm func(syncline.Position), confirmed func() uint64) {
	t.Helper()
	for _, step := range []struct {
		at   syncline.Position
		want uint64
	}{{syncline.Position{Epoch: 1, Commit: 50}, 7}, {syncline.Position{Epoch: 3, Commit: 60}, 7}, {syncline.Position{Epoch: 2, Commit: 9}, 9}, {syncline.Position{Epoch: 2, Commit: 8}, 9}} {
		if confirm(step.at); confirmed() != step.want {
			t.Errorf("after Confirm(%s) the source takes %d for safe, want %d", step.at, confirmed(), step.want)
		}
	}
}
