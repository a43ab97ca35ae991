//go:build !plant_swap_events

package plant

// SwapEvents is off in a normal build.
const SwapEvents = false
