package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Nobody can set the clock of one process, and setting that of the machine would set everybody's. So where a plan has the clock set, the program is
// built with another version of Go's package time, in which time.Now adds to the wall clock what a file says. The rest of it is Go's own:
// timers, and differences of times that were taken from time.Now, go by the monotonic clock and do not notice, as when an operator sets a clock.
// The source of the program stays as it is. Only what asks the system itself without time.Now has the true time, which is nothing here.

// clockVariable names the file, by a variable of the environment.
const clockVariable = "CHAOS_CLOCK"

// The file has two numbers of eight bytes in the machine's order: the offset in nanoseconds, and 1 once a process goes by it.
const clockBytes = 16

// clockSource is the file that package time gets.
const clockSource = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var chaosClock = openChaosClock()

func openChaosClock() *[2]int64 {
	path, _ := syscall.Getenv("` + clockVariable + `")
	if path == "" {
		return nil
	}
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("open the clock: " + err.Error())
	}
	page, err := syscall.Mmap(fd, 0, 16, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		panic("map the clock: " + err.Error())
	}
	syscall.Close(fd)
	clock := (*[2]int64)(unsafe.Pointer(&page[0]))
	atomic.StoreInt64(&clock[1], 1)
	return clock
}

func chaosNow() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = runtimeNow()
	if chaosClock != nil {
		at := int64(nsec) + atomic.LoadInt64(&chaosClock[0])
		sec += at / 1e9
		if at %= 1e9; at < 0 {
			sec, at = sec-1, at+1e9
		}
		nsec = int32(at)
	}
	return sec, nsec, mono
}
`

// overlay writes what Go has to build package time from, and returns the file that tells it so.
func overlay(ctx context.Context, folder string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "time").Output()
	if err != nil {
		return "", fmt.Errorf("find the source of package time: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	path := filepath.Join(dir, "time.go")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text, err = readClock(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	patched, added := filepath.Join(folder, "time.go"), filepath.Join(folder, "clock.go")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: patched, filepath.Join(dir, "chaos_clock.go"): added}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, "overlay.json")
	return file, errors.Join(os.WriteFile(patched, text, 0o600), os.WriteFile(added, []byte(clockSource), 0o600), os.WriteFile(file, list, 0o600))
}

// readClock has time.Now, in the source of package time, ask chaosNow.
func readClock(source []byte) ([]byte, error) {
	const was, is = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "func Now() Time {\n\tsec, nsec, mono := chaosNow()\n"
	if bytes.Count(source, []byte(was)) != 1 {
		return nil, fmt.Errorf("this release of Go has another time.Now than chaos knows: leave out the fault clock, or teach it to chaos/clock.go")
	}
	return bytes.Replace(source, []byte(was), []byte(is), 1), nil
}

// clock is the wall clock of the program and of its commands.
type clock struct {
	file *os.File

	mu      sync.Mutex
	offsets []time.Duration // that it has had; the last is the present one
}

func newClock(folder string) (*clock, error) {
	f, err := os.Create(filepath.Join(folder, "clock"))
	if err != nil {
		return nil, err
	}
	c := &clock{file: f}
	return c, errors.Join(f.Truncate(clockBytes), c.set(0))
}

// set has it differ so much from the machine's.
func (c *clock) set(offset time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offsets = append(c.offsets, offset)
	_, err := c.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(offset)), 0) //nolint:gosec // read as it is written
	return err
}

// obeyed reports whether a process has ever gone by it.
func (c *clock) obeyed() (bool, error) {
	var b [clockBytes]byte
	_, err := io.ReadFull(io.NewSectionReader(c.file, 0, clockBytes), b[:])
	return binary.NativeEndian.Uint64(b[8:]) == 1, err
}

// readings are what it shows now, or would if it still had one of its earlier offsets: what was sent before a change may arrive after it.
func (c *clock) readings() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	list := make([]time.Time, 0, len(c.offsets))
	for _, o := range c.offsets {
		list = append(list, now.Add(o))
	}
	return list
}

func (c *clock) close() { _ = c.file.Close() } // nothing is buffered
