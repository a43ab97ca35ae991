//go:build plant_null_for_unchanged

package plant

// NullForUnchanged: a value that the server did not send, because it did not change, becomes null.
const NullForUnchanged = true
