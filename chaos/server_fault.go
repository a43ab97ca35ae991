package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// serverFaults are what happens to the servers that the program talks to.
var serverFaults = []fault{
	{name: "warehouse-crash", group: "dst", weight: 3, least: 100 * time.Millisecond, most: 4 * time.Second, do: crashWarehouse},
	{name: "warehouse-hold", group: "dst", weight: 2, least: 200 * time.Millisecond, most: 6 * time.Second, do: func(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
		w.dst.server.Signal(stopSignal)
		return func(context.Context) error { w.dst.server.Signal(contSignal); return nil }, nil
	}},
}

func crashWarehouse(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	w.dst.server.Kill()
	w.count("kills")
	return func(context.Context) error { return w.dst.server.Start() }, nil
}

// life is the number of a server's lives so far: what it has lost with one is not held against the next.
func (w *world) life(server string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts["lives of "+server]
}
