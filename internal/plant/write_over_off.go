//go:build !plant_write_over

package plant

// WriteOver is off in a normal build.
const WriteOver = false
