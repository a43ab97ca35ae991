//go:build !plant_no_fence

package plant

// NoFence is off in a normal build.
const NoFence = false
