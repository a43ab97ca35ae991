//go:build !plant_ack_before_append

package plant

// AckBeforeAppend is off in a normal build.
const AckBeforeAppend = false
