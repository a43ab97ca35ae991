//go:build race

package sim

// The race detector makes a run ten times slower, and a run has one goroutine: `make test` makes the others without it.
const defaultSeeds = 8
