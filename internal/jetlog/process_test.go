package jetlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"syncline"
)

// play is what this test binary does as another process: it opens the log in the current directory, says so, and then
// either waits for its end or appends until then, one line for each append that was answered.
func play(role string) error {
	s, err := Open(context.Background(), Options{Dir: "."})
	if err != nil {
		return err
	}
	l, err := s.openLog(context.Background(), "crm")
	if err != nil {
		return err
	}
	fmt.Println("open")
	for role == "append" {
		n := int(l.appender.last) + 1
		seq, err := l.Append(context.Background(), batch(n, n%7*10_000))
		if err != nil {
			return err
		}
		fmt.Println(seq)
	}
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

// process starts this binary in that role and returns it with its output, behind "open".
func process(t *testing.T, dir, role string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatalf("os.Executable = %v", err)
	}
	cmd := exec.Command(exe)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "JETLOG_TEST_ROLE="+role)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatalf("StdinPipe = %v", err)
	}
	out, in, err := os.Pipe() // not StdoutPipe, which Wait closes: what was answered is read after the end
	if err != nil {
		t.Fatalf("Pipe = %v", err)
	}
	cmd.Stdout = in
	if err := errors.Join(cmd.Start(), in.Close()); err != nil {
		t.Fatalf("start %s: %v", exe, err)
	}
	t.Cleanup(func() {
		kill(cmd)
		_ = out.Close() // nothing was written
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "open" {
		t.Fatalf("the other process said %q, want open", lines.Text())
	}
	return cmd, lines
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()         // its exit status is the kill
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	holder, _ := process(t, dir, "hold")
	_, err := Open(t.Context(), Options{Dir: dir})
	wantError(t, "Open of a directory in use", err, syncline.Fatal, "log_locked")
	if want := fmt.Sprintf("process %d", holder.Process.Pid); !strings.Contains(err.Error(), want) {
		t.Errorf("Open = %q, want it to name %s", err, want)
	}
}

func TestLockOfADyingProcessIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	holder, _ := process(t, dir, "hold")
	opened := make(chan error, 1) // sent to once
	go func() {
		s, err := Open(context.Background(), Options{Dir: dir})
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	kill(holder)
	if err := <-opened; err != nil {
		t.Errorf("Open while the holder of the lock dies = %v", err)
	}
}

// TestKill: whatever the instant of the kill, what was answered is there, in order, in the same log.
func TestKill(t *testing.T) {
	testEnds(t, t.TempDir(), kill)
}

// testEnds lets a process append and end, again and again, at any instant.
func testEnds(t *testing.T, dir string, end func(*exec.Cmd)) {
	t.Helper()
	var id string
	for round := range 8 {
		cmd, lines := process(t, dir, "append")
		answered := 0
		for range 1 + rand.IntN(60) {
			if !lines.Scan() {
				t.Fatal("the appending process ended by itself")
			}
			answered, _ = strconv.Atoi(lines.Text())
		}
		end(cmd)
		for lines.Scan() { // what was answered between our decision and its end
			answered, _ = strconv.Atoi(lines.Text())
		}
		s := mustOpen(t, Options{Dir: dir})
		l := mustLog(t, s, "crm")
		if round == 0 {
			id = l.ID()
		}
		if l.ID() != id {
			t.Fatalf("round %d: ID = %q, was %q", round, l.ID(), id)
		}
		got := commits(t, l)
		for i, n := range got {
			if n != i+1 {
				t.Fatalf("round %d: entry %d holds batch %d", round, i+1, n)
			}
		}
		if len(got) < answered || len(got) > answered+1 {
			t.Fatalf("round %d: %d entries are left, %d were answered", round, len(got), answered)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("Close = %v", err)
		}
	}
}
