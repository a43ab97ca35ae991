//go:build plant_no_fence

package plant

// NoFence: the PostgreSQL target does not ask whose the cursor is.
const NoFence = true
