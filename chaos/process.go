package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// program is the real binary on a configuration, which can be killed, held and started again.
type program struct {
	binary, config string
	log            string // the file that all its processes write to
	// unasked is told when a process ends that nobody has ended.
	unasked func(error)

	mu  sync.Mutex
	env []string
	now *child // nil = none runs
}

// child is one process.
type child struct {
	cmd   *exec.Cmd
	began time.Time
	done  chan struct{} // closed by the goroutine that waits for the process
	err   error         // valid once done is closed
	asked bool          // we are ending it; guarded by program.mu
}

// startOptions are what may be different about one process.
type startOptions struct {
	env []string
	// wrap is a command that the program is run by, such as strace and its arguments.
	wrap []string
}

// start starts a process, and does not wait until it works.
func (p *program) start(o startOptions) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != nil {
		return errors.New("the program runs already")
	}
	c, err := p.spawn(o)
	if err != nil {
		return err
	}
	p.now = c
	go func() {
		c.err = c.cmd.Wait()
		p.mu.Lock()
		unasked := !c.asked
		p.mu.Unlock()
		if unasked { // told before anybody can see that none runs, and takes back that it expects that
			p.unasked(c.err)
		}
		p.mu.Lock()
		if p.now == c {
			p.now = nil
		}
		p.mu.Unlock()
		close(c.done)
	}()
	return nil
}

// spawn starts a process in a process group of its own, so that it can be ended with what it has started.
func (p *program) spawn(o startOptions) (*child, error) {
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // the child has its own
	args := append(slices.Clone(o.wrap), p.binary, "run", "-c", p.config)
	c := &child{cmd: exec.Command(args[0], args[1:]...), began: time.Now(), done: make(chan struct{})}
	c.cmd.Env = append(append(os.Environ(), p.env...), o.env...)
	c.cmd.Dir = filepath.Dir(p.config)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c, c.cmd.Start()
}

// end sends the signal and waits until the process is gone. One that does not go within the time is killed, which is an error.
func (p *program) end(sig syscall.Signal, patience time.Duration) error {
	p.mu.Lock()
	c := p.now
	if c == nil {
		p.mu.Unlock()
		return nil
	}
	c.asked = true
	p.mu.Unlock()
	_ = syscall.Kill(-c.cmd.Process.Pid, sig)
	if sig != syscall.SIGKILL {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGCONT)
	}
	select {
	case <-c.done:
	case <-time.After(patience):
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.done
		return fmt.Errorf("the program did not end within %s of %s", patience, sig)
	}
	if sig != syscall.SIGKILL && c.err != nil && !c.wasStarting(sig) {
		return fmt.Errorf("the program ended with %w after %s", c.err, sig)
	}
	return nil
}

// wasStarting reports whether the signal ended a process that did not listen to signals yet.
func (c *child) wasStarting(sig syscall.Signal) bool {
	status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == sig && time.Since(c.began) < 5*time.Second
}

func (p *program) kill() { _ = p.end(syscall.SIGKILL, time.Minute) } // nothing survives it

// stop asks for an orderly end.
func (p *program) stop() error { return p.end(syscall.SIGTERM, 45*time.Second) }

// signal sends a signal to the process that runs, if one does.
func (p *program) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != nil {
		_ = syscall.Kill(-p.now.cmd.Process.Pid, sig)
	}
}

// pid of the process that runs; 0 = none does.
func (p *program) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil {
		return 0
	}
	return p.now.cmd.Process.Pid
}

// command runs one of the program's commands and returns what it printed. The server is asked through its API.
func (p *program) command(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, longest) // a sync and a verify take as long as they take
	defer cancel()
	cmd := exec.CommandContext(ctx, p.binary, append(args, "-c", p.config)...)
	p.mu.Lock()
	cmd.Env = append(os.Environ(), p.env...)
	p.mu.Unlock()
	out, err := cmd.CombinedOutput()
	if args[0] == "token" {
		return string(out), err // which prints a secret, and is to
	}
	if f, ferr := os.OpenFile(p.log+".commands", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); ferr == nil {
		fmt.Fprintf(f, "$ syncline %v\n%s(%v)\n", args, out, err) //nolint:errcheck // for who looks into it
		_ = f.Close()
	}
	return string(out), err
}

// setEnv sets a variable of the processes and commands that are started from now on; "" takes it away.
func (p *program) setEnv(name, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.env = slices.DeleteFunc(slices.Clone(p.env), func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
	if value != "" {
		p.env = append(p.env, name+"="+value)
	}
}
