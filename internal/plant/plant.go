// Package plant holds bugs that are put into the program on purpose, to see that the chaos test finds them. Each has a build tag, and a
// constant that is false without it: the compiler then leaves out what stands behind it, so that a normal build knows nothing of it.
package plant

// Bug is one of them.
type Bug struct {
	Tag  string // that a build has it with
	What string
}

// Bugs are all that can be planted.
var Bugs = []Bug{
	{"plant_ack_before_append", "capture confirms a position to its source before the log has it"},
	{"plant_cursor_before_rows", "the PostgreSQL target commits the cursor by itself, before the rows"},
	{"plant_drop_events", "one event in 10,000 is not captured"},
	{"plant_swap_events", "two events of one key change places"},
	{"plant_null_for_unchanged", "a value that the server did not send, because it did not change, becomes null"},
	{"plant_resume_by_change_lsn", "a stream that goes on leaves out what was written, instead of what was committed, before the log's end"},
	{"plant_no_fence", "the PostgreSQL target does not ask whose the cursor is"},
	{"plant_no_sync", "the log does not sync what it acknowledges"},
	{"plant_echo_is_change", "a two-way rule forgets what the other side held when it wrote, and takes that for a change"},
	{"plant_write_over", "a two-way rule writes over what a user has changed since it was read"},
	{"plant_last_heard_wins", "of two sources the one that was heard of last wins, instead of the later one"},
	{"plant_silent_gap", "a route whose part of the log was given up goes on behind it, without a word"},
	{"plant_no_priorities", "urgent events take their turn"},
}
