//go:build !plant_silent_gap

package plant

// SilentGap is off in a normal build.
const SilentGap = false
