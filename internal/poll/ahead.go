package poll

import (
	"time"

	"syncline"
)

// zones is how far the clock of somebody who writes times without a zone may be ahead of UTC.
const zones = 14 * time.Hour

// Ahead reports whether a watermark is a time that the clock has not reached. Such a row is read at every poll, and the watermark stays
// below it: otherwise one date in a far year would hide every change until then.
func Ahead(v syncline.Value, clock time.Time) bool {
	switch v.Kind() {
	case syncline.KindTimestampTZ:
	case syncline.KindTimestamp, syncline.KindDate:
		clock = clock.Add(zones)
	default:
		return false
	}
	t, err := v.AsTime()
	if err != nil {
		return v.Text() == "infinity"
	}
	return t.After(clock.Add(margin))
}
