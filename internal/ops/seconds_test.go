package ops

import "testing"

func TestSeconds(t *testing.T) {
	for seconds, want := range map[float64]string{0: "-", -1: "-", 0.00123: "1.2ms", 0.0456: "46ms", 1.26: "1.3s", 65: "1m5s"} {
		if got := Seconds(seconds); got != want {
			t.Errorf("Seconds(%v) = %s, want %s", seconds, got, want)
		}
	}
}
