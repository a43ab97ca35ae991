package javascript

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/dop251/goja"
)

// MaxDepth is how many calls may be under way in a script.
const MaxDepth = 1000

// Task is one record for a script. Event, Before and After are JSON objects; Before may be null.
type Task struct {
	Event, Before, After []byte
	// Unset are the fields of the record that the source did not send: a script that reads one has no result.
	Unset []string
	// Fields are those that the script may write.
	Fields []string
}

// Result is what a script made of a record.
type Result struct {
	// Drop: the script leaves the record out.
	Drop bool
	// Values is, for each of the task's fields, its JSON value; nil = it is as it was.
	Values [][]byte
	// Unset is the field that the script needed and the source did not send; "" = none.
	Unset string
}

// Runner runs scripts one after the other. Interrupt may be called beside Run.
type Runner struct {
	runtime atomic.Pointer[goja.Runtime]
}

// errInterrupt is what Interrupt hands to a runtime.
var errInterrupt = errors.New("interrupted")

// Interrupt ends the script that is running, at its next step: one that is inside a built-in function ends when that returns.
func (r *Runner) Interrupt() {
	if rt := r.runtime.Load(); rt != nil {
		rt.Interrupt(errInterrupt)
	}
}

// Run runs the script over the record. The error is a rejected *syncline.Error with one of the codes above.
func (r *Runner) Run(p *Program, t *Task) (res Result, err error) {
	rt := goja.New()
	rt.SetMaxCallStackSize(MaxDepth)
	rt.SetParserOptions(noMaps)
	rt.SetTimeSource(func() time.Time { panic(rt.NewTypeError("a script has no clock")) })
	rt.SetRandSource(func() float64 { panic(rt.NewTypeError("a script has no random numbers")) })
	r.runtime.Store(rt)
	defer r.runtime.Store(nil)
	s := &run{rt: rt, task: t, exact: make(map[*goja.Object]string)}
	// Reading the result may run code of the script too: getters and proxies.
	defer func() {
		if x := recover(); x != nil {
			cause, ok := x.(error)
			if !ok {
				panic(x)
			}
			res, err = s.failed(cause)
		}
	}()
	event, before, after, err := s.arguments()
	if err != nil {
		return Result{}, failure(CodeFailed, "%v", err)
	}
	value, err := rt.RunProgram(p.program)
	if err != nil {
		return s.failed(err)
	}
	function, ok := goja.AssertFunction(value)
	if !ok {
		return Result{}, failure(CodeFailed, "it is no function body")
	}
	out, err := function(goja.Undefined(), event, before, after)
	if err != nil {
		return s.failed(err)
	}
	if s.unset != "" {
		return Result{Unset: s.unset}, nil
	}
	res, err = s.result(out)
	if s.unset != "" {
		return Result{Unset: s.unset}, nil
	}
	return res, err
}

// run is one call of a script.
type run struct {
	rt   *goja.Runtime
	task *Task
	// after is the record that the script was given, given its fields' values; unsent are those that were not sent and that the script
	// has not written.
	after  *goja.Object
	given  map[string]goja.Value
	raw    map[string][]byte
	unsent map[string]bool
	// unset is the first such field that the script has read.
	unset string
	// exact are the numbers that a Number cannot hold, with their digits.
	exact map[*goja.Object]string
}

// failed tells what ended the script, by kind and place: what it says in words may hold values of the record.
func (s *run) failed(err error) (Result, error) {
	if s.unset != "" {
		return Result{Unset: s.unset}, nil
	}
	var deep *goja.StackOverflowError
	var stopped *goja.InterruptedError
	var thrown *goja.Exception
	switch {
	case errors.As(err, &stopped):
		return Result{}, failure(CodeTimeout, "it takes too long")
	case errors.As(err, &deep):
		return Result{}, failure(CodeDepth, "more than %d calls are under way", MaxDepth)
	case errors.As(err, &thrown):
		what := s.kind(thrown.Value())
		for _, f := range thrown.Stack() {
			if at := f.Position(); f.SrcName() == name && at.Line > 1 {
				return Result{}, failure(CodeFailed, "%s at %d:%d", what, at.Line-1, at.Column)
			}
		}
		return Result{}, failure(CodeFailed, "%s", what)
	}
	var own *resultError
	if errors.As(err, &own) {
		return Result{}, failure(CodeFailed, "%s", err.Error())
	}
	return Result{}, failure(CodeFailed, "it cannot be run")
}

var kinds = []string{"TypeError", "RangeError", "ReferenceError", "SyntaxError", "URIError", "EvalError"}

// kind names what was thrown by the kinds that the language has. Looking may run code of the script.
func (s *run) kind(thrown goja.Value) (name string) {
	defer func() {
		if recover() != nil {
			name = "an exception"
		}
	}()
	o, ok := thrown.(*goja.Object)
	if !ok {
		return "an exception"
	}
	for p := o.Prototype(); p != nil; p = p.Prototype() {
		for _, k := range kinds {
			if c, ok := s.rt.Get(k).(*goja.Object); ok && c.Get("prototype") == goja.Value(p) {
				return k
			}
		}
	}
	return "an exception"
}
