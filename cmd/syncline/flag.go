package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// errorClasses are the classes that a task's error can have.
var errorClasses = []string{"rejected", "transient", "fatal"}

func list[T ~string](of []T) string {
	words := make([]string, len(of))
	for i, w := range of {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

// oneOf is a flag that takes one of a few words.
type oneOf[T ~string] struct {
	value *T
	of    []T
}

func (f *oneOf[T]) String() string {
	if f.value == nil {
		return ""
	}
	return string(*f.value)
}

func (f *oneOf[T]) Set(s string) error {
	for _, w := range f.of {
		if string(w) == s {
			*f.value = w
			return nil
		}
	}
	return fmt.Errorf("it is one of %s", list(f.of))
}

func (f *oneOf[T]) Type() string { return "word" }

// moment is a flag that takes a time.
type moment struct{ value *time.Time }

func (f *moment) String() string { return "" }

func (f *moment) Set(s string) error {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("write it as 2026-01-31T09:00:00Z or 2026-01-31T09:00:00+01:00")
	}
	*f.value = t
	return nil
}

func (f *moment) Type() string { return "time" }

// ago is a flag that takes a length of time up to now.
type ago struct{ value *time.Time }

func (f *ago) String() string { return "" }

func (f *ago) Set(s string) error {
	d, err := span(s)
	if err != nil {
		return fmt.Errorf("write it as 30m, 24h or 7d")
	}
	*f.value = time.Now().Add(-d)
	return nil
}

func (f *ago) Type() string { return "duration" }

// most is a flag that takes a bound; 0 = none.
type most struct{ value *int }

func (f *most) String() string {
	if f.value == nil {
		return ""
	}
	return strconv.Itoa(*f.value)
}

func (f *most) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return fmt.Errorf("give a number, 0 for all")
	}
	*f.value = int(n)
	return nil
}

func (f *most) Type() string { return "int" }

// length is a flag that takes a length of time.
type length struct{ value *time.Duration }

func (f *length) String() string {
	if f.value == nil || *f.value == 0 {
		return ""
	}
	return f.value.String()
}

func (f *length) Set(s string) error {
	d, err := span(s)
	if err != nil {
		return fmt.Errorf("write it as 30m, 24h or 7d")
	}
	*f.value = d
	return nil
}

func (f *length) Type() string { return "duration" }

// span reads a length of time, also in days.
func span(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err == nil && d <= 0 {
		err = fmt.Errorf("%s is no length of time", text)
	}
	return d, err
}
