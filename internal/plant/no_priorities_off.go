//go:build !plant_no_priorities

package plant

// NoPriorities is off in a normal build.
const NoPriorities = false
