// Package script runs the scripts of transforms in a process of its own: the same program, started anew (Serve), with limits of memory,
// time and depth, without the environment and without anything to write to. What a script does to that process is the process's end and
// nothing else: it is started again, the record that did it is found and told, and the others go on.
package script

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"syncline"
	"syncline/internal/document"
	"syncline/internal/expression"
	"syncline/internal/javascript"
	"syncline/internal/transform"
)

// Options say what to run.
type Options struct {
	Step transform.Script
	// Command starts a worker; nil = this program with the argument Command.
	Command []string
	// Idle is how long a process without work stays; 0 = a minute.
	Idle   time.Duration
	Logger *slog.Logger // nil = none
}

// Worker runs one script. It is a transform.Asker, for one caller at a time; Close may come at any time.
type Worker struct {
	o     Options
	setup setup
	shape []syncline.Column // of the fields, for reading their values

	mu     sync.Mutex // of what follows; held while a batch is under way
	closed bool
	p      *process
	idle   *time.Timer
}

// New returns a worker. Its process starts with the first record.
func New(o Options) *Worker {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Idle <= 0 {
		o.Idle = time.Minute
	}
	if o.Step.BatchTimeout <= 0 {
		o.Step.BatchTimeout = 5 * time.Second
	}
	w := &Worker{o: o, setup: setup{Code: o.Step.Code, Timeout: int64(o.Step.Timeout), Memory: o.Step.Memory}}
	for _, f := range o.Step.Fields {
		w.setup.Fields = append(w.setup.Fields, f.Field)
		w.shape = append(w.shape, syncline.Column{Name: f.Field, Kind: f.Kind})
	}
	return w
}

// Close ends the process.
func (w *Worker) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.rest()
	return nil
}

// rest ends the process, if there is one.
func (w *Worker) rest() {
	if w.p != nil {
		w.p.stop()
		w.p = nil
	}
}

// Ask implements transform.Asker.
func (w *Worker) Ask(ctx context.Context, asks []*transform.Ask) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return unavailable(errors.New("it was closed"))
	}
	if w.idle != nil {
		w.idle.Stop()
	}
	tasks := make([][]byte, len(asks))
	for i, a := range asks {
		tasks[i] = encode(a)
	}
	for _, a := range asks {
		a.Later = true // until there is an answer
	}
	err := w.run(ctx, tasks, func(i int, a answer) { w.settle(asks[i], a) })
	w.idle = time.AfterFunc(w.o.Idle, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.rest()
	})
	return err
}

// batchBytes bounds what goes to the worker at once.
const batchBytes = 4 << 20

// span is a run of tasks.
type span struct{ from, to int }

// run has every task answered. Where the process dies, the task that it died of is found: the process says which it was, or the tasks that
// it had are given to new ones by halves, until one is left. A task is guilty only if a process dies that has seen no other, because the
// memory of the others may be what it died of; but one that took too long did so by itself.
//
// When the time for all of them is over, those that have no answer yet are left without one. At least one has.
func (w *Worker) run(ctx context.Context, tasks [][]byte, settle func(int, answer)) error {
	var todo []span // the next one last
	for to := len(tasks); to > 0; {
		from, size := to, 0
		for from > 0 && (from == to || size+len(tasks[from-1]) <= batchBytes) {
			from--
			size += len(tasks[from])
		}
		todo = append(todo, span{from, to})
		to = from
	}
	until, done := time.Now().Add(w.o.Step.BatchTimeout), false
	answered := func(i int, a answer) {
		if !a.later {
			done = true
			settle(i, a)
		}
	}
	for len(todo) > 0 && (!done || time.Now().Before(until)) {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.from == s.to {
			continue
		}
		if w.p == nil {
			var err error
			if w.p, err = start(ctx, w.o.Command, w.setup); err != nil {
				return err
			}
		}
		fresh := !w.p.used
		w.p.used = true
		n, last, err := w.send(ctx, tasks[s.from:s.to], max(time.Until(until), 0), func(i int, a answer) { answered(s.from+i, a) })
		if err == nil {
			continue
		}
		w.p = nil
		if ctx.Err() != nil {
			return ctx.Err()
		}
		at, alone := s.from+n, s.to-s.from == 1
		switch {
		case last.ended && (last.code == javascript.CodeTimeout || alone && fresh):
			w.o.Logger.Warn("script ended its process", "code", last.code)
			answered(at, last)
			todo = append(todo, span{at + 1, s.to})
		case last.ended:
			todo = append(todo, span{at + 1, s.to}, span{at, at + 1})
		case alone && fresh:
			w.o.Logger.Warn("script ended its process", "code", last.code)
			answered(at, last)
		case s.to-at == 1:
			todo = append(todo, span{at, s.to})
		default:
			half := at + (s.to-at)/2
			todo = append(todo, span{half, s.to}, span{at, half})
		}
	}
	return nil
}

// send has the process answer the tasks as far as there is time, and returns how many it has answered when it dies; last is then what it died of, as far as can
// be told. The process is gone after an error.
func (w *Worker) send(ctx context.Context, tasks [][]byte, left time.Duration, settle func(int, answer)) (n int, last answer, err error) {
	p := w.p
	frame := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(tasks))), uint64(left))
	for _, t := range tasks {
		frame = append(frame, t...)
	}
	limit := silence + patience*w.o.Step.Timeout
	// The worker reads a batch whole before it begins, and writes while it works: what it writes is read beside.
	wrote := make(chan error, 1) // has room so that the writer can always leave
	go func() {
		_, err := p.in.Write(appendFrame(nil, frame))
		wrote <- err
	}()
	for n < len(tasks) {
		var answered []byte
		err := p.within(ctx, limit, func() (err error) {
			answered, err = readFrame(p.out)
			return err
		})
		var a answer
		if err == nil {
			a, err = parseAnswer(answered, len(w.shape))
		}
		if err == nil && a.ended {
			err = errors.New(a.message)
			last = a
		}
		if err != nil {
			stderr := p.kill()
			<-wrote //nolint:errcheck // the process is gone: it is known
			if last.code == "" {
				last.code, last.message = cause(stderr)
			}
			return n, last, err
		}
		settle(n, a)
		n++
	}
	return n, answer{}, <-wrote
}

// silence is how long a worker may say nothing beyond what its own watchdog allows one record. It tells what it has every second.
const silence = 30 * time.Second

// settle turns an answer into the step's.
func (w *Worker) settle(a *transform.Ask, r answer) {
	a.Later = false
	switch {
	case r.code != "":
		a.Err = reject(r.code, r.message)
	case r.Unset != "":
		a.Err = &expression.UnsetError{Column: r.Unset}
	case r.Drop:
		a.Drop = true
	default:
		a.Out = make([]syncline.Value, len(w.shape))
		for i, raw := range r.Values {
			if raw == nil {
				a.Out[i] = syncline.Unset
				continue
			}
			column := w.shape[i]
			if column.Kind == syncline.KindNull {
				column.Kind = syncline.KindText
				if at := a.Record.Schema.Index(column.Name); at >= 0 {
					column = a.Record.Schema.Columns[at]
				}
			}
			v, err := document.ParseValue(&column, raw)
			if err != nil {
				a.Err = reject(javascript.CodeFailed, "field "+column.Name+" has no value that can be read")
				return
			}
			if v.Kind() != column.Kind {
				if v, err = expression.Convert(v, column.Elem, column.Kind); err != nil {
					a.Err = reject(javascript.CodeFailed, "field "+column.Name+": "+err.Error())
					return
				}
			}
			a.Out[i] = v
		}
	}
}

// reject is the error of one record.
func reject(code, message string) error {
	if code != javascript.CodeTimeout && code != javascript.CodeMemory && code != javascript.CodeDepth {
		code = javascript.CodeFailed
	}
	return syncline.Errorf(syncline.Rejected, code, "%s", message).
		WithFix("correct the script or the record, then retry the task")
}

// encode writes what the script is given.
func encode(a *transform.Ask) []byte {
	e := &a.Batch.Events[a.Index]
	t := &javascript.Task{Event: event(a.Batch, a.Index), After: document.Append(nil, a.Record)}
	if e.Before != nil {
		t.Before = document.Append(nil, syncline.Row{Schema: e.Schema, Values: e.Before})
	}
	for i, v := range a.Record.Values {
		if v.IsUnset() {
			t.Unset = append(t.Unset, a.Record.Schema.Columns[i].Name)
		}
	}
	return appendTask(nil, t)
}

// event is what a script sees of the event: what expressions see of it.
func event(b *syncline.Batch, i int) []byte {
	e := &b.Events[i]
	dst := []byte{'{'}
	text := func(name, value string) {
		if value == "" {
			return
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(document.AppendString(dst, name), ':')
		dst = document.AppendString(dst, value)
	}
	list := func(name string, values []string) {
		dst = append(append(append(dst, ",\""...), name...), "\":["...)
		for i, v := range values {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = document.AppendString(dst, v)
		}
		dst = append(dst, ']')
	}
	text("id", b.EventID(i))
	text("op", e.Op.String())
	text("entity", e.Schema.Entity)
	text("source", b.Source)
	if k, ok := e.Key(); ok {
		text("key", string(k))
	}
	if at := b.TimeOf(i); !at.IsZero() {
		text("time", at.UTC().Format(time.RFC3339Nano))
	}
	text("priority", e.Priority().String())
	if e.Txn < len(b.Txns) {
		text("origin", b.Txns[e.Txn].Origin)
	}
	var changed []string
	for c := range e.Schema.Columns {
		if e.Changed(c) {
			changed = append(changed, e.Schema.Columns[c].Name)
		}
	}
	list("changed", changed)
	if m := e.Meta; m != nil {
		text("correlation", m.Correlation)
		text("user", m.User)
		text("session", m.Session)
		text("reason", m.Reason)
		text("into", string(m.Into))
		list("tags", m.Tags)
		if m.Version != 0 {
			dst = strconv.AppendInt(append(dst, `,"version":`...), m.Version, 10)
		}
	}
	return append(dst, '}')
}
