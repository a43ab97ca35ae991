package sim

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
)

// A run that breaks a promise is made much shorter, and what is left breaks it again, in the same way and with the same trace.
func TestAFailureIsMadeShorter(t *testing.T) {
	planted := func() func(string) error { // two crashes behind a lost tail, with something else between them
		stage := 0
		return func(line string) error {
			switch {
			case stage == 0 && strings.Contains(line, "the target lost"), stage == 1 && strings.Contains(line, "crash"), stage == 2 && strings.Contains(line, "somebody writes"),
				stage == 3 && strings.Contains(line, "crash"):
				stage++
			}
			if stage == 4 {
				return broken("planted at %s", line)
			}
			return nil
		}
	}
	world := func(ctx context.Context, o Options) (Result, error) {
		o.object = planted()
		return Dispute(ctx, o)
	}
	shrunk, left, all := 0, 0, 0
	for seed := range uint64(4) {
		_, err := world(t.Context(), Options{Seed: seed})
		if err == nil {
			continue
		}
		var f *Failure
		if !errors.As(err, &f) {
			t.Fatal(err)
		}
		short := Shrink(t.Context(), world, f, 300)
		if n := len(short.Steps()); n < 4 || n > len(f.Steps())/2 {
			t.Errorf("seed %d: %d of %d steps are left: %s", seed, n, len(f.Steps()), short.LastLines(20))
		}
		left, all = left+len(short.Steps()), all+len(f.Steps())
		_, err = world(t.Context(), Options{Seed: seed, Only: short.Steps()})
		var again *Failure
		if !errors.As(err, &again) || again.kind() != f.kind() || again.Trace != short.Trace {
			t.Errorf("seed %d with steps %s: %v, want %v", seed, short.Steps(), err, short)
		}
		shrunk++
	}
	if shrunk < 2 || left > all/5 {
		t.Errorf("%d runs failed, and %d of their %d steps are left", shrunk, left, all)
	}
}

// What is left out changes nothing of what it has no part in: a step is the same beside fewer others.
func TestAStepIsTheSameByItself(t *testing.T) {
	const history = 60
	trace := func(only Steps) map[int]string {
		lines := make(map[int]string)
		_, err := Run(t.Context(), Options{Seed: 5, Only: only, object: func(line string) error {
			if step, what, _ := strings.Cut(line, ": "); strings.Contains(what, "will fail") {
				n, _ := strconv.Atoi(step)
				lines[n] = what
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	all := trace(nil)
	if len(all) == 0 {
		t.Fatal("nothing fails in the whole run")
	}
	for step, want := range all {
		if got := trace(append(Steps(nil).upTo(history), step))[step]; got != want {
			t.Errorf("step %d by itself: %q, want %q", step, got, want)
		}
	}
}

func TestSteps(t *testing.T) {
	for _, tt := range []struct{ in, want string }{{"3", "3"}, {"3,5-7,6", "3,5-7"}, {"9,1,2", "1-2,9"}} {
		if s, err := ParseSteps(tt.in); err != nil || s.String() != tt.want {
			t.Errorf("ParseSteps(%q) = %v, %v, want %s", tt.in, s, err, tt.want)
		}
	}
	for _, in := range []string{"", "0", "a", "3-", "5-4", "1-99999999"} {
		if s, err := ParseSteps(in); err == nil {
			t.Errorf("ParseSteps(%q) = %v, want an error", in, s)
		}
	}
}
