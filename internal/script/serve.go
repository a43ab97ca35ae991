package script

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"syncline"
	"syncline/internal/javascript"
	"syncline/internal/packed"
)

const (
	// look is how often the watchdog looks at a script that runs.
	look = 10 * time.Millisecond
	// grace is how long a script that was told to end may go on: it may be inside a built-in function, which cannot be told.
	grace = 200 * time.Millisecond
	// patience is how much more time than work a script may take: a machine that is busy is not the script's fault.
	patience = 20
	// maxStack bounds the stack of the process itself, which recursion inside built-in functions uses.
	maxStack = 64 << 20
)

// Serve is the worker process: it runs the script that it is told over the records that it is given until in ends. Its memory is
// limited, and it ends itself where a script takes too much of that, or cannot be stopped.
func Serve(in io.Reader, out io.Writer) error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM) // it ends with the process that it works for
	time.Local = time.UTC
	r := bufio.NewReaderSize(in, 64<<10)
	frame, err := readFrame(r)
	if err != nil {
		return err
	}
	var s setup
	if err := json.Unmarshal(frame, &s); err != nil {
		return err
	}
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(s.Memory)
	limitMemory(s.Memory)
	program, err := javascript.Compile(s.Code)
	if err != nil {
		return err
	}
	w := &worker{setup: s, program: program, out: bufio.NewWriterSize(out, 64<<10)}
	w.say([]byte{ready})
	if err := w.out.Flush(); err != nil {
		return err
	}
	go w.watch()
	for {
		frame, err := readFrame(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.batch(frame); err != nil {
			return err
		}
	}
}

type worker struct {
	setup   setup
	program *javascript.Program
	runner  javascript.Runner
	// running counts the records that were begun, with the lowest bit set while one is.
	running atomic.Uint64

	mu  sync.Mutex // of out; the watchdog holds it when it ends the process
	out *bufio.Writer
}

// say appends a frame to what is told.
func (w *worker) say(content []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.out.Write(appendFrame(nil, content)) // Flush tells
}

func (w *worker) batch(frame []byte) error {
	f := &packed.Reader{Data: frame}
	var buf []byte
	n, began := f.Count(), time.Now()
	limit := time.Duration(f.Uint())
	for i := range n {
		if i > 0 && time.Since(began) > limit { // the first one is always done, so that there is an end
			w.say([]byte{later})
			continue
		}
		t := readTask(f, w.setup.Fields)
		if f.Bad {
			return errFrame
		}
		w.running.Add(1)
		res, err := w.runner.Run(w.program, t)
		w.running.Add(1)
		var e *syncline.Error
		switch {
		case errors.As(err, &e):
			buf = appendFailure(buf[:0], failed, e.Code, e.Msg)
		case err != nil:
			return err
		default:
			buf = appendResult(buf[:0], res)
		}
		w.say(buf)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Flush()
}

// watch ends a script that takes too long, and the process where that does not help or the memory is used up.
func (w *worker) watch() {
	var seen uint64 // the record that was running at the last look
	var since time.Time
	var work time.Duration // of the process, when it was first seen
	var told time.Time     // when it was told to end
	limit := time.Duration(w.setup.Timeout)
	var flushed time.Time
	for range time.Tick(look) {
		if time.Since(flushed) > time.Second {
			flushed = time.Now()
			w.mu.Lock()
			_ = w.out.Flush() // the end of the batch tells
			w.mu.Unlock()
		}
		now := w.running.Load()
		if now&1 == 0 {
			seen = 0
			continue
		}
		if used := memoryInUse(); used > uint64(w.setup.Memory) {
			w.end(now, javascript.CodeMemory, fmt.Sprintf("it takes more than %d MiB of memory", w.setup.Memory>>20))
			continue
		}
		if now != seen {
			seen, since, work, told = now, time.Now(), cpuTime(), time.Time{}
			continue
		}
		switch {
		case !told.IsZero():
			if time.Since(told) > grace {
				w.end(now, javascript.CodeTimeout, fmt.Sprintf("it takes longer than %s, inside a built-in function", limit))
			}
		case cpuTime()-work > limit, time.Since(since) > patience*limit:
			told = time.Now()
			w.runner.Interrupt()
		}
	}
}

// end tells that the record which is running, if it still is, ends the process, and ends it.
func (w *worker) end(running uint64, code, message string) {
	w.mu.Lock() // for good, where the process ends
	if w.running.Load() != running {
		w.mu.Unlock()
		return
	}
	_, _ = w.out.Write(appendFrame(nil, appendFailure(nil, ended, code, message)))
	_ = w.out.Flush() // if nobody listens the process ends all the same
	os.Exit(exitEnded)
}

// exitEnded is how a worker ends that has said why.
const exitEnded = 3

var samples = []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}

// memoryInUse is what the process holds of the system's memory. Only the watchdog calls it.
func memoryInUse() uint64 {
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
