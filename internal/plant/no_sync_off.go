//go:build !plant_no_sync

package plant

// NoSync is off in a normal build.
const NoSync = false
