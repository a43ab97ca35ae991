package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"
)

// disk is a file system of its own for the program's directories, whose power can be cut and which can be filled.
type disk interface {
	// Cut cuts the power while the process uses it; nil = none does.
	Cut(user *os.Process) error
	// Restore makes what was synced readable again.
	Restore() error
	// Sync writes out everything, by whomever it was written.
	Sync() error
	Fill(leave uint64) (empty func() error, err error)
	Close() error
}

// diskFaults are what happens to the disk that the log and the state store are on.
var diskFaults = []fault{
	{name: "disk-full", group: "disk", weight: 3, least: 300 * time.Millisecond, most: 5 * time.Second, do: fillDisk},
	{name: "power-cut", group: "process", weight: 4, least: 0, most: time.Second, do: cutPower},
	{name: "sync-error", group: "process", weight: 2, least: 100 * time.Millisecond, most: 2 * time.Second, do: failSyncs},
	{name: "sync-kill", group: "process", weight: 3, least: 0, most: 500 * time.Millisecond, do: killAtSync},
}

// hasDisk reports whether there is a disk, and says what is left out without one.
func (w *world) hasDisk(without string) bool {
	if w.disk == nil {
		w.log("%s is left out: the program's directories are on no disk of their own", without)
	}
	return w.disk != nil
}

// keep has what was copied to the program's directories outlive a power cut, as whoever restores a backup has to see to: the program syncs what
// it writes itself, and no more.
func (w *world) keep() error {
	if w.disk == nil {
		return nil
	}
	return w.disk.Sync()
}

// fillDisk leaves no space, or next to none.
func fillDisk(_ context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	leave := uint64(rnd.IntN(3)) * (512 << 10)
	if !w.hasDisk("disk-full") {
		return nil, nil
	}
	w.power.Lock()
	defer w.power.Unlock()
	empty, err := w.disk.Fill(leave)
	if err != nil {
		return nil, fmt.Errorf("fill the disk: %w", err)
	}
	return func(context.Context) error {
		w.power.Lock()
		defer w.power.Unlock()
		if err := empty(); !errors.Is(err, fs.ErrNotExist) { // the power cut may have taken it
			return err
		}
		return nil
	}, nil
}

// cutPower takes away what the program has not synced, and the program.
func cutPower(_ context.Context, w *world, _ *rand.Rand) (func(context.Context) error, error) {
	if !w.hasDisk("power-cut") {
		return nil, nil
	}
	if err := w.loseDisk(); err != nil {
		return nil, err
	}
	return func(context.Context) error { return w.program.start(startOptions{}) }, nil
}

// loseDisk cuts the power under the program, which may have ended, and has the disk back without it.
func (w *world) loseDisk() error {
	var user *os.Process
	if pid := w.program.pid(); pid != 0 {
		user = &os.Process{Pid: pid}
	}
	w.power.Lock()
	defer w.power.Unlock()
	if err := w.disk.Cut(user); err != nil {
		return fmt.Errorf("cut the power: %w", err)
	}
	w.program.kill()
	w.count("power cuts")
	if err := w.disk.Restore(); err != nil {
		return fmt.Errorf("after the power cut: %w", err)
	}
	return nil
}

// ioCodes are what the program may halt with when a sync fails. It is to be started again then.
var ioCodes = []string{"state_io", "log_disk", "log_start", "log_corrupt", "log_lost"}

// failSyncs has syncs fail for a while, as those of a disk that is dying, and starts the program again.
func failSyncs(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	first := 1 + rnd.IntN(5)
	t, err := w.traceSyncs(fmt.Sprintf("error=EIO:when=%d+", first))
	if err != nil || t == nil {
		return nil, err
	}
	w.watch.expect(ioCodes...)
	w.watch.expectExit()
	return func(ctx context.Context) error {
		t.end()
		if w.disk != nil && rnd.IntN(2) == 0 { // what was not synced is not on the disk, whoever believes it
			if err := w.loseDisk(); err != nil {
				return err
			}
		}
		w.program.kill()
		return w.startAgain(ctx, ioCodes)
	}, nil
}

// killAtSync kills the program when one of its threads syncs for the n-th time, before that is done.
func killAtSync(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	n, lose := 1+rnd.IntN(8), rnd.IntN(2) == 0
	t, err := w.traceSyncs(fmt.Sprintf("signal=KILL:when=%d", n))
	if err != nil || t == nil {
		return nil, err
	}
	w.watch.expectExit()
	for end := time.Now().Add(4 * time.Second); w.program.pid() != 0 && time.Now().Before(end); {
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			break
		}
	}
	t.end()
	if w.program.pid() != 0 {
		w.log("no thread of the program synced %d times", n)
	}
	w.count("kills")
	if w.disk != nil && lose {
		if err := w.loseDisk(); err != nil {
			return nil, err
		}
	}
	w.program.kill()
	return func(ctx context.Context) error { return w.startAgain(ctx, nil) }, nil
}

// startAgain starts the program and waits until it works; then it has to end, or to halt with the codes, no more.
func (w *world) startAgain(ctx context.Context, codes []string) error {
	if err := w.program.start(startOptions{}); err != nil {
		return err
	}
	err := w.ready(ctx)
	w.watch.expected(codes...)
	w.watch.expectedExit()
	return err
}

// tracer is a strace that has its hands on the program.
type tracer struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when strace has ended
}

// traceSyncs injects something into the syncs of the program as strace knows it; nil where that is not possible here.
func (w *world) traceSyncs(injection string) (*tracer, error) {
	path, missing := exec.LookPath("strace")
	if missing != nil {
		w.log("syncs are left alone: strace is not installed")
		return nil, nil //nolint:nilerr // it is left out
	}
	pid := w.program.pid()
	if pid == 0 {
		return nil, nil
	}
	var said strings.Builder
	t := &tracer{cmd: exec.Command(path, "-f", "-qq", "-o", os.DevNull, "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:"+injection, "-p", fmt.Sprint(pid)),
		done: make(chan struct{})}
	t.cmd.Stderr = &said
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = t.cmd.Wait() // it ends with the program, or by our signal
		close(t.done)
	}()
	for { // until it is there
		status, ended := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if ended != nil || !strings.Contains(string(status), "TracerPid:\t0\n") {
			return t, nil //nolint:nilerr // the program is gone, and strace with it
		}
		select {
		case <-t.done:
			if strings.Contains(said.String(), "not permitted") {
				w.log("syncs are left alone: strace may not look into a process here")
				return nil, nil
			}
			return nil, fmt.Errorf("strace does not attach: %s", said.String())
		case <-time.After(time.Millisecond):
		}
	}
}

// end lets the program go.
func (t *tracer) end() {
	_ = t.cmd.Process.Signal(os.Interrupt) // it may have ended
	<-t.done
}
