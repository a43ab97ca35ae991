//go:build plant_no_priorities

package plant

// NoPriorities: urgent events take their turn.
const NoPriorities = true
