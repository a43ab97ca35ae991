//go:build !plant_drop_events

package plant

// DropEvents is off in a normal build.
const DropEvents = false
