package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"syncline/internal/ops"
)

// TestEveryLineOnStderrIsOurs: whoever collects the log can read all of it, also while a client library has something to say.
func TestEveryLineOnStderrIsOurs(t *testing.T) {
	t.Parallel()
	p := newProgram(t, `systems:
  pos:   {type: http, capture: {mode: push, entities: {order: {key: [id]}}}}
  cache: {type: redis, url: "redis://127.0.0.1:1/0"}
rules:
  - {id: orders, from: pos/order, to: cache/order}
`)
	p.start()
	p.answers()
	eventually(t, "the target is known to be down", func(context.Context) error {
		if r := p.routes()["orders"]; r.State != ops.RouteDegraded {
			return fmt.Errorf("its route is %s", r.State)
		}
		return nil
	})
	if err := p.stop(); err != nil {
		t.Errorf("stop = %v, want a clean exit", err)
	}
	for line := range strings.Lines(p.log.String()) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("the log has the foreign line %q", line)
		}
	}
	rest := p.log.String()
	for _, step := range []string{"syncline is running", "stopping", "drained", "syncline has stopped"} {
		_, after, found := strings.Cut(rest, step)
		if !found {
			t.Errorf("the log does not say %q in its turn:\n%s", step, p.log)
			break
		}
		rest = after
	}

	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "run", "--check", "-c", p.config).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitUnreachable || !strings.Contains(string(out), "redis_unreachable") {
		t.Fatalf("run --check = %v, %s, want exit code %d", err, out, exitUnreachable)
	}
	if talk := strings.TrimSpace(string(exit.Stderr)); strings.Contains(talk, "\n") || strings.Contains(talk, "pool") {
		t.Errorf("run --check says %q, want its own line only", talk)
	}
}
