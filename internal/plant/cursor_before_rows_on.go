//go:build plant_cursor_before_rows

package plant

// CursorBeforeRows: the PostgreSQL target commits the cursor by itself, before the rows.
const CursorBeforeRows = true
