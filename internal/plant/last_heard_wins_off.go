//go:build !plant_last_heard_wins

package plant

// LastHeardWins is off in a normal build.
const LastHeardWins = false
