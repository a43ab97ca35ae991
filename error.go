package syncline

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Class is how the caller of a Source, Target or Log must take an error.
type Class uint8

const (
	// Transient: the system, not the record, is at fault; retry with backoff for as long as it takes.
	Transient Class = iota
	// Rejected: the system understood and refused this data; retrying the same data will not help.
	Rejected
	// Fatal: going on would lose or damage something; stop and tell why.
	Fatal
)

func (c Class) String() string {
	switch c {
	case Rejected:
		return "rejected"
	case Fatal:
		return "fatal"
	}
	return "transient"
}

// Error is an error that a person will read. Code is stable and documented in docs/errors.md.
type Error struct {
	Code  string
	Class Class
	// Msg says what went wrong and where, without row values and secrets.
	Msg string
	// Fix says what to do about it; may be empty.
	Fix string
	// Change is the index in the Write that a rejection names, or -1.
	Change int
	// After is the least time until it is tried again, where trying often does harm or nobody can have helped before; 0 = none.
	After time.Duration
	// Err is the cause, or nil.
	Err error
}

// Patience is how long to wait with what a person has to set right elsewhere and nothing is lost meanwhile: long enough that an account
// is not locked for the logins that its server refuses.
const Patience = time.Minute

// Errorf returns an error with this code and class whose message is formatted; %w wraps a cause.
func Errorf(class Class, code, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Code: code, Class: class, Msg: wrapped.Error(), Change: -1, Err: errors.Unwrap(wrapped)}
}

// WithFix returns e with the way out.
func (e *Error) WithFix(format string, args ...any) *Error {
	e.Fix = fmt.Sprintf(format, args...)
	return e
}

// Patiently returns e to be tried again after Patience.
func (e *Error) Patiently() *Error {
	e.After = Patience
	return e
}

// RetryAfter returns the least time until it is worth trying again.
func (e *Error) RetryAfter() time.Duration {
	if e.After > 0 || e.Err == nil {
		return e.After
	}
	return RetryAfter(e.Err)
}

// RetryAfter returns the least time until what failed with err is worth trying again; 0 = any.
func RetryAfter(err error) time.Duration {
	var floor interface{ RetryAfter() time.Duration }
	if errors.As(err, &floor) {
		return floor.RetryAfter()
	}
	return 0
}

// At returns e naming the change of the Write that caused it.
func (e *Error) At(change int) *Error {
	e.Change = change
	return e
}

func (e *Error) Error() string {
	if e.Code == "" {
		return e.Msg
	}
	return e.Code + ": " + e.Msg
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of the first Error in err's chain. Any other error is transient: what nobody recognised is
// retried, and never costs a record.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Transient
}

// CodeOf returns the code of the first Error in err's chain, else "unknown" or "canceled".
func CodeOf(err error) string {
	var e *Error
	switch {
	case errors.As(err, &e) && e.Code != "":
		return e.Code
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "unknown"
}

// FixOf returns the way out that the first Error in err's chain tells, else "".
func FixOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Fix
	}
	return ""
}
