package jetlog

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"syncline/internal/testserver"
)

// TestPowerCut: a disk that loses all that was not synced has what was answered, and no process answers that its disk took what it did not.
func TestPowerCut(t *testing.T) {
	disk := testserver.NewDisk(t, 256<<20)
	dir := filepath.Join(disk.Dir, "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	testEnds(t, dir, func(cmd *exec.Cmd) {
		if err := disk.Cut(cmd.Process); err != nil {
			t.Fatal(err)
		}
		kill(cmd)
		if err := disk.Restore(); err != nil {
			t.Fatal(err)
		}
	})
}
