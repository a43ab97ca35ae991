package transform

import (
	"slices"

	"syncline"
	"syncline/internal/expression"
)

func (s Drop) compile() (binder, error) { return s, distinctNames(s.Fields) }

func (s Drop) bind(l *layout) error {
	for _, name := range s.Fields {
		if l.index(name) >= 0 {
			continue
		}
		at, path, err := l.locate(name)
		if err != nil {
			return err
		}
		if at >= 0 {
			if err := l.protect(&l.fields[at], "drop parts of other columns"); err != nil {
				return err
			}
			l.cut(at, path)
		}
	}
	l.fields = slices.DeleteFunc(l.fields, func(f field) bool { return slices.Contains(s.Fields, f.Name) })
	return nil
}

func (s Keep) compile() (binder, error) { return s, distinctNames(s.Fields) }

// bind keeps the fields in the order that they have.
func (s Keep) bind(l *layout) error {
	for _, name := range s.Fields {
		if _, err := l.need(name); err != nil {
			return err
		}
	}
	l.fields = slices.DeleteFunc(l.fields, func(f field) bool { return !slices.Contains(s.Fields, f.Name) })
	return nil
}

func distinctNames(names []string) error {
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			return syncline.Errorf(syncline.Fatal, "bad_step", "%s is named twice", n)
		}
	}
	if err := named(names...); err != nil {
		return err
	}
	return some(len(names))
}

// filter is a compiled Filter.
type filter struct{ when *expression.Program }

func (s Filter) compile() (binder, error) {
	p, err := expression.Compile(s.When)
	return filter{p}, err
}

func (s filter) bind(l *layout) error {
	bound, err := s.when.Bind(l.view(), l.in)
	if err != nil {
		return err
	}
	l.ops = append(l.ops, operation{writes: -1, reads: l.reads(s.when), recordOnly: s.when.RecordOnly(), sources: l.sources(), step: l.step, kind: l.kind,
		run: func(r *registers) (bool, error) { return bound.True(&r.input) }})
	return nil
}

func (s filter) usesBefore() bool { return s.when.UsesBefore() }
