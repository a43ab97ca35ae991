package syncline

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// asksFor is an error of an outside system that said when to come back.
type asksFor time.Duration

func (e asksFor) Error() string             { return "busy" }
func (e asksFor) RetryAfter() time.Duration { return time.Duration(e) }

func TestRetryAfter(t *testing.T) {
	patient := Errorf(Transient, "login_refused", "no").Patiently()
	for _, tt := range []struct {
		err  error
		want time.Duration
	}{
		{errors.New("x"), 0},
		{Errorf(Transient, "lost", "gone"), 0},
		{patient, Patience},
		{fmt.Errorf("open: %w", patient), Patience},
		{Errorf(Transient, "outer", "open: %w", patient), Patience},
		{Errorf(Transient, "outer", "send: %w", asksFor(time.Hour)), time.Hour},
		{fmt.Errorf("send: %w", asksFor(time.Second)), time.Second},
	} {
		if got := RetryAfter(tt.err); got != tt.want {
			t.Errorf("RetryAfter(%v) = %s, want %s", tt.err, got, tt.want)
		}
	}
}
