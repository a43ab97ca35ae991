package jetlog

import (
	"os"
	"path/filepath"
	"testing"

	"syncline"
)

// FuzzReadMark: the note of where a log ends is read as it was written, or is called corrupt.
func FuzzReadMark(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("0190c7a5 00000000000000000007\n"))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Add([]byte("id 99999999999999999999999"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "mark")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		id, _, err := readMark(path, "crm")
		if err != nil && syncline.CodeOf(err) != "log_corrupt" || err == nil && id == "" && len(data) > 0 {
			t.Fatalf("readMark(%q) = %q, %v", data, id, err)
		}
	})
}
