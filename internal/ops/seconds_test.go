package ops

import "testing"

func TestSeconds(t *testing.T) {
	for seconds, want := range map[float64]string{0: "-", -1: "-", 0.00123: "1.2ms", 0.0456: "46ms", 1.26: "1.3s", 65: "1m5s",
		176.8: "2m57s", 300: "5m", 14400: "4h", 5400: "1h30m", 3605: "1h0m5s", 36000: "10h", 59.99: "1m"} {
		if got := Seconds(seconds); got != want {
			t.Errorf("Seconds(%v) = %s, want %s", seconds, got, want)
		}
	}
}
