//go:build plant_last_heard_wins

package plant

// LastHeardWins: of two sources the one that was heard of last wins, instead of the later one.
const LastHeardWins = true
