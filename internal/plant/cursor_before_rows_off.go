//go:build !plant_cursor_before_rows

package plant

// CursorBeforeRows is off in a normal build.
const CursorBeforeRows = false
