package testserver

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of its own in memory; options are tmpfs's ("size=64m"). A test that may not mount is skipped.
func SmallDisk(tb testing.TB, options string) string {
	tb.Helper()
	dir := tb.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options)
	if errors.Is(err, syscall.EPERM) {
		tb.Skip("run as root, a container with CAP_SYS_ADMIN: the test mounts a small file system")
	}
	if err != nil {
		tb.Fatalf("mount a small file system: %v", err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			tb.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// FillDisk writes a file until no more than this many bytes are free, and returns what removes it again.
func FillDisk(tb testing.TB, dir string, leave uint64) (empty func()) {
	tb.Helper()
	remove, err := fill(dir, leave)
	if err != nil {
		tb.Fatal(err)
	}
	return func() {
		if err := remove(); err != nil {
			tb.Fatal(err)
		}
	}
}

func fill(dir string, leave uint64) (empty func() error, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "filler")
	free := st.Bavail * uint64(st.Bsize)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	empty = func() error { return os.Remove(path) }
	// What the file system needs for the file itself may be missing: then a little less is asked for.
	for size := int64(free - min(leave, free)); size > 0; size -= 64 << 10 { //nolint:gosec // the size of a disk
		if err := syscall.Fallocate(int(f.Fd()), 0, 0, size); !errors.Is(err, syscall.ENOSPC) {
			return empty, err
		}
	}
	return empty, nil
}
