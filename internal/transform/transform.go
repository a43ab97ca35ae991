// Package transform makes a target's records from a source's: steps in order, compiled once, bound to each schema that the
// rows come in. It is pure, but for the lookup files that it reads again when they change: what other steps need from outside is asked
// of an Asker.
package transform

import (
	"errors"
	"log/slog"

	"syncline"
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
}

// binder is a compiled step: bind changes the layout as the step changes records, and adds to it what has to be computed.
type binder interface {
	bind(l *layout) error
}

// Compile checks the steps. What is wrong with one is a fatal bad_step that names the step by its number from 1 and its kind,
// and wraps the *expression.Error where an expression is at fault.
func Compile(steps []Step) (*Transform, error) {
	t := &Transform{}
	for i, s := range steps {
		b, err := s.compile()
		if err != nil {
			return nil, stepError(syncline.Fatal, "bad_step", i, s.Kind(), "", err)
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
	l := newLayout(in)
	for i, s := range t.steps {
		l.step, l.kind = i, t.kinds[i]
		if err := s.bind(l); err != nil {
			return nil, stepError(syncline.Fatal, syncline.CodeOf(err), i, l.kind, "", err)
		}
	}
	return l.plan()
}
