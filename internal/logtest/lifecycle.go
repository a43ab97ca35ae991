package logtest

import (
	"context"
	"testing"

	"syncline"
)

func survives(t *testing.T, s Storage, end func(*testing.T)) {
	l := s.Open(t, "crm")
	id := l.ID()
	fill(t, l, "crm", 1, 25)
	mustPurge(t, l, 4)
	for round := range 3 {
		end(t)
		l = s.Open(t, "crm")
		if l.ID() != id {
			t.Fatalf("ID = %q after the end of the process, was %q", l.ID(), id)
		}
		last := 25 + 10*round
		wantBounds(t, l, 4, syncline.Seq(last))
		wantSmall(t, mustRead(t, l, 1), "crm", 4, last)
		fill(t, l, "crm", last+1, last+10)
	}
}

func fencesTheAppenderThatWasOvertaken(t *testing.T, s Storage) {
	old := s.Open(t, "crm")
	fill(t, old, "crm", 1, 3)
	owner := s.Open(t, "crm")
	fill(t, owner, "crm", 4, 4)
	for range 2 {
		seq, err := old.Append(deadline(t), batch("crm", 99, 1, 10))
		if err == nil {
			t.Fatalf("Append of an overtaken appender = sequence %d, want an error", seq)
		}
		if class, code := syncline.ClassOf(err), syncline.CodeOf(err); class != syncline.Fatal || code != "log_fenced" {
			t.Fatalf("Append of an overtaken appender = %v %q, want fatal log_fenced", class, code)
		}
	}
	fill(t, owner, "crm", 5, 6)
	wantSmall(t, mustRead(t, old, 1), "crm", 1, 6)
}

func closedHandlesReturnErrors(t *testing.T, s Storage) {
	l := s.Open(t, "crm")
	fill(t, l, "crm", 1, 3)
	r := mustRead(t, l, 1)
	mustClose(t, r)
	if e, err := r.Next(deadline(t)); err == nil {
		t.Errorf("Next of a closed reader = sequence %d, want an error", e.Seq)
	}
	waiting := mustRead(t, l, 4)
	done := make(chan error, 1) // sent to once by the reader
	go func() {
		_, err := waiting.Next(context.Background())
		done <- err
	}()
	wantNothing(t, mustRead(t, l, 4))
	mustClose(t, l)
	if err := <-done; err == nil {
		t.Error("Next = nil error when its log was closed")
	}
	mustClose(t, l)
	if _, err := l.Append(deadline(t), batch("crm", 4, 1, 10)); syncline.CodeOf(err) != "log_closed" {
		t.Errorf("Append to a closed log = %v, want log_closed", err)
	}
	if _, err := l.Read(deadline(t), 1); syncline.CodeOf(err) != "log_closed" {
		t.Errorf("Read of a closed log = %v, want log_closed", err)
	}
	wantSmall(t, mustRead(t, s.Open(t, "crm"), 1), "crm", 1, 3)
}
