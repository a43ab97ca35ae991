package poll

import (
	"testing"

	"syncline/internal/sourcetest"
)

func TestOnlyWhatTheEpochHasIsConfirmed(t *testing.T) {
	s := &Source{epoch: 2, confirmed: 7}
	sourcetest.OfItsEpoch(t, s.Confirm, func() uint64 { return s.confirmed })
}
