package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// takeoverFaults are what happens where somebody else takes over.
var takeoverFaults = []fault{
	{name: "takeover", group: "process", alone: true, weight: 2, least: time.Second, most: 3 * time.Second, do: takeOver},
}

// fencedCodes are what routes may halt with that have lost their target to the other process, or whose target it has taken back.
var fencedCodes = []string{"fenced", "state_lost", "log_lost"}

// takeOver stops the process where it stands, as a machine that hangs, and starts another one on a copy of its directories. When that works, the
// old process wakes up and still believes that the targets are its own. Whatever it had in hand must reach none of them any more.
func takeOver(ctx context.Context, w *world, rnd *rand.Rand) (func(context.Context) error, error) {
	ghost := w.program.detach()
	if ghost == nil {
		return nil, nil
	}
	end := func() {
		_ = syscall.Kill(-ghost.cmd.Process.Pid, syscall.SIGKILL)
		<-ghost.done
	}
	_ = syscall.Kill(-ghost.cmd.Process.Pid, syscall.SIGSTOP)
	old := w.home
	if err := w.moveHome(rnd.Uint32()); err != nil {
		end()
		return nil, err
	}
	if err := w.program.start(startOptions{}); err != nil {
		end()
		return nil, err
	}
	if err := w.ready(ctx); err != nil {
		end()
		return nil, fmt.Errorf("take over: %w", err)
	}
	if err := sleep(ctx, time.Duration(300+rnd.IntN(1500))*time.Millisecond); err != nil {
		end()
		return nil, err
	}
	w.watch.expect(fencedCodes...)
	w.log("the old process wakes up")
	_ = syscall.Kill(-ghost.cmd.Process.Pid, syscall.SIGCONT)
	return func(ctx context.Context) error {
		end()
		if err := w.resumeAll(ctx); err != nil {
			return err
		}
		w.watch.expected(fencedCodes...)
		return os.RemoveAll(old)
	}, nil
}

// detach makes the program one that does not run; its process is somebody else's now.
func (p *program) detach() *child {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.now
	if c != nil {
		c.asked, p.now = true, nil
	}
	return c
}

// moveHome copies the directories, and has the next process work on the copy and listen elsewhere.
func (w *world) moveHome(n uint32) error {
	home := fmt.Sprintf("%s-%08x", filepath.Join(filepath.Dir(w.home), "home"), n)
	if err := os.CopyFS(home, os.DirFS(w.home)); err != nil {
		return err
	}
	if err := w.keep(); err != nil {
		return err
	}
	port, err := testserver.FreePort()
	if err != nil {
		return err
	}
	w.home, w.apiPort = home, port
	w.program.config = filepath.Join(w.folder, filepath.Base(home)+".yaml")
	if err := os.WriteFile(w.program.config, []byte(w.yaml(port)), 0o600); err != nil {
		return err
	}
	return errors.Join(w.net.point("api", port), w.net.point("push", port))
}

// resumeAll resumes what has halted, as an operator does who has ended the other process, until everything works.
func (w *world) resumeAll(ctx context.Context) error {
	return w.eventually(ctx, patience, func(ctx context.Context) error {
		routes, err := w.api.Load().Routes(ctx)
		if err != nil {
			return err
		}
		for _, r := range routes {
			if r.State == ops.RouteHalted {
				w.count("fenced routes")
				if err := w.api.Load().ResumeRoute(ctx, r.ID); err != nil {
					return err
				}
			}
		}
		r, err := w.api.Load().Ready(ctx)
		if err == nil && !r.Ready {
			err = fmt.Errorf("not ready: %v", r.Reasons)
		}
		return err
	})
}
