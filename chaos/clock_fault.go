package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// clockFaults are what an operator, or a time server that was wrong, does to the clock of the program's machine. The servers have their own.
var clockFaults = []fault{
	{name: clockFault, group: "clock", weight: 4, least: 500 * time.Millisecond, most: 8 * time.Second, do: setClock},
}

const clockFault = "clock"

// farthest is how far a clock is set at most, to either side.
const farthest = 30 * 24 * time.Hour

// setClock sets the clock forward or back by something between seconds and days, up to four times, and right in the end.
func setClock(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	switch obeyed, err := w.clock.obeyed(); {
	case err != nil:
		return nil, err
	case !obeyed:
		w.log("clock is left out: the binary does not go by the clock that chaos sets; without -binary one is built that does")
		return nil, nil
	}
	for i := range 1 + rnd.IntN(4) {
		if i > 0 {
			_ = sleep(ctx, time.Duration(100+rnd.IntN(1200))*time.Millisecond) // a run that ends has it set right all the same
		}
		offset := []time.Duration{10 * time.Second, 7 * time.Minute, 90 * time.Minute, 25 * time.Hour, farthest}[rnd.IntN(5)]
		offset += time.Duration(rnd.Int64N(int64(time.Second)))
		if rnd.IntN(2) == 0 {
			offset = -offset
		}
		w.log("the clock is set to differ by %s", offset)
		if err := w.clock.set(offset); err != nil {
			return nil, err
		}
		w.count("clock changes")
	}
	return func(context.Context) error { return w.clock.set(0) }, nil
}
