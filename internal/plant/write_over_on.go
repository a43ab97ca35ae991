//go:build plant_write_over

package plant

// WriteOver: a two-way rule writes over what a user has changed since it was read.
const WriteOver = true
