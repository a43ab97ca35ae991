package syncline

import (
	"fmt"
	"testing"
)

func TestAnObjectCanTellApartAsManyLogsAsAnOrderCanCarry(t *testing.T) {
	e := LogEpochs{}
	last := int64(-1)
	for i := range maxLogEpoch {
		epoch, changed, err := e.Enter("cache", fmt.Sprint("log", i), i%2 == 0)
		if err != nil || !changed {
			t.Fatalf("Enter of log %d = %d, %v, %v", i, epoch, changed, err)
		}
		if v := (Order{Epoch: epoch, Seq: Seq(1000 - i)}).Version(); v <= last {
			t.Fatalf("log %d counts from version %d, not above %d", i, v, last)
		} else {
			last = v
		}
	}
	for _, log := range []string{"one too many", "log0"} {
		if _, _, err := e.Enter("cache", log, true); CodeOf(err) != "log_epochs_used" || ClassOf(err) != Fatal {
			t.Errorf("Enter of %s = %v, want log_epochs_used", log, err)
		}
	}
	if epoch, changed, err := e.Enter("cache", fmt.Sprint("log", maxLogEpoch-1), false); epoch != maxLogEpoch || changed || err != nil {
		t.Errorf("Enter of the last log again = %d, %v, %v", epoch, changed, err)
	}
}
