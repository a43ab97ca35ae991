// Package testserver starts throw-away servers for tests and benchmarks: real ones, on free ports of 127.0.0.1, with their
// data in a temporary directory, stopped by the test that started them.
package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// startTimeout is how long a server may take until it answers.
const startTimeout = 30 * time.Second

// Ports are taken from below those that systems give to connections: a server that is started again needs the one that it had, and no connection
// may have got it meanwhile.
const lowPort, highPort = 10_000, 32_000

// FreePort returns a TCP port that nobody listens on now.
func FreePort() (port int, err error) {
	for range 100 {
		port = lowPort + rand.IntN(highPort-lowPort)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// find returns the first of the names that is in PATH or matches one of the globs.
func find(name string, globs ...string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, g := range globs {
		if m, _ := filepath.Glob(g); len(m) > 0 {
			return m[len(m)-1], nil
		}
	}
	return "", fmt.Errorf("%s is not installed: run `make tools`, or install the package that has it", name)
}

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{} // closed by the waiter when the process is gone
	err  error         // valid once done is closed
}

// start runs the command as cred (nil = as we are) in a process group of its own.
func start(cred *syscall.Credential, path string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), log: new(bytes.Buffer), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.Dir = "/"
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: cred}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(path), err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// waitReady polls until ready returns nil.
func (p *process) waitReady(ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %w\n%s", filepath.Base(p.cmd.Path), p.err, p.log)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w", filepath.Base(p.cmd.Path), startTimeout, err)
		case <-tick.C:
		}
	}
}

// stop sends the signal and waits for the end; after a while it kills.
func (p *process) stop(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(startTimeout):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

// account returns the credential of a system user for servers that refuse to run as root; nil if we are not root.
func account(name string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, n := range []string{name, "nobody"} {
		u, err := user.Lookup(n)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("neither the user %s nor nobody exists", name)
}

// tempDir makes a directory that cred can use.
func tempDir(pattern string, cred *syscall.Credential) (string, error) {
	dir, err := os.MkdirTemp("", pattern)
	if err != nil || cred == nil {
		return dir, err
	}
	return dir, os.Chown(dir, int(cred.Uid), int(cred.Gid))
}
