//go:build plant_ack_before_append

package plant

// AckBeforeAppend: capture confirms a position to its source before the log has it.
const AckBeforeAppend = true
