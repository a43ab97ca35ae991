//go:build plant_swap_events

package plant

// SwapEvents: two events of one key change places.
const SwapEvents = true
