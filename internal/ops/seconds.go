package ops

import (
	"time"

	"syncline/internal/health"
)

// Seconds writes a number of seconds for people: "46ms", "1.3s", "2m57s", "4h", "-" for none.
func Seconds(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d <= 0:
		return "-"
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute-50*time.Millisecond:
		return d.Round(100 * time.Millisecond).String()
	}
	return health.Short(d.Round(time.Second))
}
