//go:build plant_no_sync

package plant

// NoSync: the log does not sync what it acknowledges.
const NoSync = true
