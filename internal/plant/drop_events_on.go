//go:build plant_drop_events

package plant

// DropEvents: one event in 10,000 is not captured.
const DropEvents = true
