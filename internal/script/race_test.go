//go:build race

package script

// The race detector takes memory of its own, more than a worker may have.
const underRace = true
