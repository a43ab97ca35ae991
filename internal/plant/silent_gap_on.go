//go:build plant_silent_gap

package plant

// SilentGap: a route whose part of the log was given up goes on behind it, without a word.
const SilentGap = true
