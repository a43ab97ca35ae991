package testserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoMount: this process may not mount file systems, or there are no loop devices.
var ErrNoMount = errors.New("no file system can be mounted here: run as root, a container with CAP_SYS_ADMIN and loop devices")

// A Disk is an ext4 file system of its own in a file. Its power can be cut, and it can be filled.
type Disk struct {
	// Dir is where it is mounted.
	Dir   string
	image string
}

// OpenDisk makes a disk of this size with its files below dir. Where that is not allowed the error is ErrNoMount.
func OpenDisk(dir string, size int64) (*Disk, error) {
	d := &Disk{Dir: filepath.Join(dir, "disk"), image: filepath.Join(dir, "disk.img")}
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(d.image, size); err != nil {
		return nil, err
	}
	mkfs, err := find("mkfs.ext4", "/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4")
	if err != nil {
		return nil, err
	}
	// Nothing is kept for root, and little has to be written before the disk is ready, however large it is.
	if out, err := exec.Command(mkfs, "-q", "-F", "-m", "0", "-N", "4096", "-J", "size=16", d.image).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make a file system: %w\n%s", err, out)
	}
	if err := d.mount(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Disk) mount() error {
	out, err := exec.Command("mount", "-o", "loop", d.image, d.Dir).CombinedOutput()
	if err == nil {
		return nil
	}
	for _, sign := range []string{"permission denied", "failed to setup loop device", "must be superuser", "Operation not permitted"} {
		if strings.Contains(string(out), sign) {
			return fmt.Errorf("%w: %s", ErrNoMount, strings.TrimSpace(string(out)))
		}
	}
	return fmt.Errorf("mount %s: %w\n%s", d.image, err, out)
}

const (
	shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN
	noLogFlush = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
)

// Cut cuts the power: from now on nothing reaches the disk, and what was not synced is gone, the file system's own journal included. The
// process that uses it is held at any instant of its own, and is to be killed before Restore: the kernel answers some of the syncs that are
// under way at such a moment as if they had been done, which no machine without power does. nil: nobody uses it, or no more.
func (d *Disk) Cut(user *os.Process) error {
	if user != nil {
		if err := hold(user); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	f, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush), f.Close())
}

// hold stops the process, and returns when none of its threads is in a system call any more.
func hold(p *os.Process) error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for end := time.Now().Add(unmountPatience); ; time.Sleep(time.Millisecond) {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid))
		if err != nil {
			return err
		}
		running := 0
		for _, path := range stats {
			text, err := os.ReadFile(path)
			if _, state, _ := strings.Cut(string(text), ") "); err == nil && !strings.ContainsAny(state[:1], "TtZX") {
				running++
			}
		}
		if running == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("process %d is not held: %d of its threads run", p.Pid, running)
		}
	}
}

// Sync writes out everything, by whomever it was written.
func (d *Disk) Sync() error {
	f, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// unmountPatience is how long those that were killed may take to let go of their files.
const unmountPatience = 10 * time.Second

// Restore mounts it again after a cut. Those that used it must be dead.
func (d *Disk) Restore() error { return errors.Join(d.unmount(), d.mount()) }

func (d *Disk) unmount() error {
	for end := time.Now().Add(unmountPatience); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Unmount(d.Dir, 0)
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(end) {
			return err
		}
	}
}

// Close unmounts it and removes its file.
func (d *Disk) Close() error { return errors.Join(d.unmount(), os.Remove(d.image), os.Remove(d.Dir)) }

// Fill writes a file until no more than this many bytes are free, and returns what removes it again.
func (d *Disk) Fill(leave uint64) (empty func() error, err error) { return fill(d.Dir, leave) }

// NewDisk is OpenDisk for a test. One that may not mount is skipped.
func NewDisk(tb testing.TB, size int64) *Disk {
	tb.Helper()
	d, err := OpenDisk(tb.TempDir(), size)
	if errors.Is(err, ErrNoMount) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Close(); err != nil {
			tb.Error(err)
		}
	})
	return d
}
