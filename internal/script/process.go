package script

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"syncline"
	"syncline/internal/javascript"
)

// Command is the argument with which the program is a worker; see Serve.
const Command = "script-worker"

// process is a worker that runs.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr opening
	used   bool // it has been given records
}

// unavailable is no record's fault.
func unavailable(err error) error {
	return syncline.Errorf(syncline.Transient, "script_process", "the process that runs the script does not start: %w", err).
		WithFix("see whether the system has memory and processes left; it is tried again")
}

// start starts a worker and tells it what to run.
func start(ctx context.Context, command []string, s setup) (*process, error) {
	if len(command) == 0 {
		path := own
		if path == "" {
			var err error
			if path, err = os.Executable(); err != nil {
				return nil, unavailable(err)
			}
		}
		command = []string{path, Command}
	}
	p := &process{cmd: exec.Command(command[0], command[1:]...)}
	// Nothing of the environment, which holds secrets.
	p.cmd.Env = []string{"TZ=UTC", "GOMAXPROCS=2", "GOTRACEBACK=none"}
	p.cmd.Dir, p.cmd.SysProcAttr, p.cmd.Stderr = "/", apart(), &p.stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, unavailable(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, unavailable(err)
	}
	p.out = bufio.NewReaderSize(out, 64<<10)
	if err := p.cmd.Start(); err != nil {
		return nil, unavailable(err)
	}
	content, err := json.Marshal(s)
	if err != nil {
		panic("a setup of texts and numbers cannot be written: " + err.Error())
	}
	var frame []byte
	err = p.within(ctx, startTime, func() error {
		if _, err := p.in.Write(appendFrame(nil, content)); err != nil {
			return err
		}
		var err error
		frame, err = readFrame(p.out)
		return err
	})
	if err == nil && (len(frame) != 1 || frame[0] != ready) {
		err = errFrame
	}
	if err != nil {
		p.kill()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, unavailable(err)
	}
	return p, nil
}

// startTime is how long a worker may take until it is ready.
const startTime = 30 * time.Second

// within calls f, and kills the process where that takes longer or ctx ends: then f ends too.
func (p *process) within(ctx context.Context, limit time.Duration, f func() error) error {
	timer := time.AfterFunc(limit, p.signal)
	defer timer.Stop()
	stop := context.AfterFunc(ctx, p.signal)
	defer stop()
	return f()
}

func (p *process) signal() { _ = p.cmd.Process.Kill() } // it may be gone already

// kill ends the process and returns what it was heard to say last.
func (p *process) kill() string {
	p.signal()
	_ = p.in.Close()
	_, _ = io.Copy(io.Discard, p.out) // nobody may wait for us to read
	_ = p.cmd.Wait()                  // how it ended is told by what it said
	return p.stderr.String()
}

// stop lets the process end by itself.
func (p *process) stop() {
	_ = p.in.Close()
	timer := time.AfterFunc(time.Second, p.signal)
	defer timer.Stop()
	_, _ = io.Copy(io.Discard, p.out)
	_ = p.cmd.Wait()
}

// cause tells from the last words of a process that has died in silence why it has.
func cause(stderr string) (code, message string) {
	switch {
	case strings.Contains(stderr, "stack exceeds") || strings.Contains(stderr, "stack overflow"):
		return javascript.CodeDepth, "it calls itself too deep, inside built-in functions"
	// The collector of Go 1.26 does not look whether the system gave it the memory for its own lists.
	case strings.Contains(stderr, "out of memory"), strings.Contains(stderr, "cannot allocate memory"), strings.Contains(stderr, "SIGSEGV"):
		return javascript.CodeMemory, "it takes more memory than it may"
	}
	return javascript.CodeFailed, "its process died"
}

// opening keeps the beginning of what is written to it.
type opening struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const openingSize = 8 << 10

func (t *opening) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if left := openingSize - t.buf.Len(); left > 0 {
		t.buf.Write(p[:min(left, len(p))])
	}
	return len(p), nil
}

func (t *opening) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
