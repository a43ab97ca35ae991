package pgtarget

import (
	"bytes"
	"strings"
	"testing"

	"syncline"
	"syncline/internal/testserver"
)

// A bytea arrives as it is in either form that COPY may get it in.
func TestCopiedBytesArrive(t *testing.T) {
	c := connection(t, testserver.NewPostgres(t).Database(t))
	execute(t, c, "CREATE TEMPORARY TABLE b (n int, data bytea)")
	var every []byte
	for i := range 256 {
		every = append(every, byte(i))
	}
	values := [][]byte{{}, every, []byte(`\`), []byte(`\x41`), []byte(`x\\y\000`), []byte("a tab\ta line\na return\r\x00 and \xff" + strings.Repeat("text ", 20))}
	for i := range 256 {
		values = append(values, append([]byte(strings.Repeat("text ", 4)), byte(i), 'x'))
	}
	var lines []byte
	escaped := 0
	for i, v := range values {
		lines = append(appendCopy(lines, syncline.Int(int64(i))), '\t')
		field := appendCopy(nil, syncline.Bytes(v))
		if !bytes.HasPrefix(field, []byte(`\\x`)) {
			escaped++
		}
		lines = append(append(lines, field...), '\n')
	}
	if escaped == 0 || escaped == len(values) {
		t.Fatalf("%d of %d values are in the escape form, want some of each", escaped, len(values))
	}
	if _, err := c.PgConn().CopyFrom(t.Context(), bytes.NewReader(lines), "COPY b FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	rows, err := c.Query(t.Context(), "SELECT n, data FROM b")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen := 0
	for rows.Next() {
		var n int
		var data []byte
		if err := rows.Scan(&n, &data); err != nil {
			t.Fatal(err)
		}
		seen++
		if !bytes.Equal(data, values[n]) {
			t.Errorf("%q arrived as %q", values[n], data)
		}
	}
	if rows.Err() != nil || seen != len(values) {
		t.Fatalf("%d of %d arrived: %v", seen, len(values), rows.Err())
	}
}
