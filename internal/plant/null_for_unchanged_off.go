//go:build !plant_null_for_unchanged

package plant

// NullForUnchanged is off in a normal build.
const NullForUnchanged = false
