// Package transform makes a target's records from a source's: steps in order, compiled once, bound to each schema that the
// rows come in. It is pure, but for the lookup files that it reads again when they change: what other steps need from outside is asked
// of an Asker.
package transform

import (
	"errors"
	"log/slog"
	"strings"

	"syncline"
	"syncline/internal/expression"
)

// Kinds are what Convert and Set can make.
var Kinds = []syncline.Kind{syncline.KindBool, syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal,
	syncline.KindText, syncline.KindBytes, syncline.KindDate, syncline.KindTime, syncline.KindTimestamp, syncline.KindTimestampTZ,
	syncline.KindUUID, syncline.KindJSON}

// Transform is a compiled list of steps. It is immutable and safe for concurrent use.
type Transform struct {
	steps []binder
	kinds []string
	// outside are the steps that ask outside, by number.
	outside map[int]Step
	// first is the number of the first step.
	first int
	// split is set where one of the steps splits records; those behind it are its own.
	split *split
}

// binder is a compiled step: bind changes the layout as the step changes records, and adds to it what has to be computed.
type binder interface {
	bind(l *layout) error
}

// Compile checks the steps. What is wrong with one is a fatal bad_step that names the step by its number from 1 and its kind,
// and wraps the *expression.Error where an expression is at fault.
func Compile(steps []Step) (*Transform, error) {
	return compile(steps, 0)
}

func compile(steps []Step, first int) (*Transform, error) {
	t := &Transform{first: first}
	for i, s := range steps {
		b, err := s.compile()
		if p, ok := b.(interface{ usesBefore() bool }); err == nil && first > 0 && ok && p.usesBefore() {
			err = syncline.Errorf(syncline.Fatal, "bad_step", "the records of a split have no `before`: the source knows only the one that they come of")
		}
		if _, again := s.(Split); err == nil && first > 0 && again {
			err = syncline.Errorf(syncline.Fatal, "bad_step", "records can be split once")
		}
		if _, asks := s.(asking); err == nil && first > 0 && asks {
			err = syncline.Errorf(syncline.Fatal, "bad_step", "what a split makes cannot be asked about: let the step stand before it")
		}
		if err != nil {
			return nil, stepError(syncline.Fatal, "bad_step", first+i, s.Kind(), "", err)
		}
		if d, ok := s.(Split); ok {
			t.split = &split{Splitting: d.Split, step: first + i}
			t.split.after, err = compile(steps[i+1:], first+i+1)
			return t, err
		}
		t.steps = append(t.steps, b)
		t.kinds = append(t.kinds, s.Kind())
		if _, asks := s.(asking); asks {
			if t.outside == nil {
				t.outside = make(map[int]Step)
			}
			t.outside[i] = s
		}
	}
	return t, nil
}

// LogTo says where it is reported that a lookup file was read again, or cannot be. Without it, nowhere.
func (t *Transform) LogTo(log *slog.Logger) {
	for _, s := range t.steps {
		if r, ok := s.(interface{ logTo(*slog.Logger) }); ok {
			r.logTo(log)
		}
	}
	if t.split != nil {
		t.split.after.LogTo(log)
	}
}

// stepError says where in a transform something went wrong. The cause's code gives way, its text and its fix stay.
func stepError(class syncline.Class, code string, step int, kind, field string, cause error) error {
	where := kind
	if field != "" {
		where += " " + field
	}
	text, fix := cause.Error(), ""
	var inner *syncline.Error
	if errors.As(cause, &inner) {
		text, fix = inner.Msg, inner.Fix
	}
	e := syncline.Errorf(class, code, "step %d (%s): %s", step+1, where, text)
	e.Err, e.Fix = cause, fix
	return e
}

// Bind plans the transform of rows of a schema. What the steps name and the schema does not have is a fatal error.
func (t *Transform) Bind(in *syncline.Schema) (*Plan, error) {
	return t.bind(in, expression.Open(in))
}

// bind is Bind where it is known whether the source has a schema.
func (t *Transform) bind(in *syncline.Schema, open bool) (*Plan, error) {
	l := newLayout(in)
	l.open = open
	stages := make([]stage, len(t.steps))
	for i, s := range t.steps {
		l.step, l.kind = t.first+i, t.kinds[i]
		if err := s.bind(l); err != nil {
			return nil, stepError(syncline.Fatal, syncline.CodeOf(err), l.step, l.kind, "", err)
		}
		stages[i] = l.stage()
	}
	p, err := l.plan()
	if err != nil {
		return nil, err
	}
	if p.stages = stages; t.split == nil {
		return p, nil
	}
	if p.children, err = t.split.children(p, l); err != nil {
		var inner *syncline.Error
		if errors.As(err, &inner) && strings.HasPrefix(inner.Msg, "step ") {
			return nil, err // of a step behind it
		}
		return nil, stepError(syncline.Fatal, syncline.CodeOf(err), t.split.step, "split", "", err)
	}
	return p, nil
}
