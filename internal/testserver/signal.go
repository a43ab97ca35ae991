package testserver

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Signal sends the signal to every process of the server, so that SIGSTOP holds all of them. Children are known on Linux only.
func (s *Postgres) Signal(sig syscall.Signal) { s.proc.signal(sig) }

// Signal sends the signal to the server.
func (s *Redis) Signal(sig syscall.Signal) { s.proc.signal(sig) }

// Stop ends the server in an orderly way, without waiting for its clients; Start starts it again.
func (s *Postgres) Stop() { s.proc.stop(syscall.SIGINT) }

// signal tells the process before its children: one that is held makes no more of them.
func (p *process) signal(sig syscall.Signal) {
	pid := p.cmd.Process.Pid
	_ = p.cmd.Process.Signal(sig)
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, text := range strings.Fields(string(children)) {
		if child, err := strconv.Atoi(text); err == nil {
			_ = syscall.Kill(child, sig)
		}
	}
}

// Output is what the server has printed since its last Start. The server is stopped.
func (s *Postgres) Output() []byte { return s.proc.log.Bytes() }
