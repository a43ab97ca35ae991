package state

import (
	"os/exec"
	"path/filepath"
	"testing"

	"syncline/internal/testserver"
)

// TestPowerCut: a disk that loses all that was not synced has what was confirmed, whole.
func TestPowerCut(t *testing.T) {
	disk := testserver.NewDisk(t, 64<<20)
	testEnds(t, filepath.Join(disk.Dir, "state.db"), func(child *exec.Cmd) {
		must(t, disk.Cut(child.Process))
		must(t, child.Process.Kill())
	}, func() { must(t, disk.Restore()) })
}
