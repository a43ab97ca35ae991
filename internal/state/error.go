package state

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"syncline"
)

// ErrNotFound is in the chain of the error for a task, route or run that the store does not hold.
var ErrNotFound = errors.New("not found")

func notFound(code, what, id string) error {
	e := syncline.Errorf(syncline.Rejected, code, "%s %s: %w", what, id, ErrNotFound)
	if command := lists[code]; command != "" {
		return e.WithFix("`%s` lists what there is", command)
	}
	return e
}

// lists are the commands that show what can be found.
var lists = map[string]string{"conflict_not_found": "syncline conflicts", "task_not_found": "syncline tasks", "token_not_found": "syncline token list",
	"pause_not_found": "syncline pause list", "silence_not_found": "syncline alerts silences", "run_not_found": "syncline sync list"}

func corrupt(err error) error {
	return syncline.Errorf(syncline.Fatal, "state_corrupt", "the file is damaged: %w", err).
		WithFix("restore the state store from a backup, or move the file away: routes then ask how to go on (state_lost)")
}

// errClosed is what callers get after Close.
var errClosed = syncline.Errorf(syncline.Fatal, "state_closed", "the state store is closed")

// errGivenUp is the outcome of a write whose transaction ended in a panic of another one's function.
var errGivenUp = errors.New("the transaction was given up")

// classify gives SQLite's results a class and a code, and says what was attempted.
func classify(err error, attempt string) error {
	if err == nil {
		return nil
	}
	var known *syncline.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	var failed *sqlite.Error
	if !errors.As(err, &failed) {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	var e *syncline.Error
	switch code := failed.Code(); {
	case code&0xFF == lib.SQLITE_FULL, code == lib.SQLITE_IOERR_SHMSIZE:
		e = syncline.Errorf(syncline.Transient, "state_full", "the disk is full: %w", err).
			WithFix("make room on the disk of the state store; it goes on by itself")
	case code&0xFF == lib.SQLITE_BUSY, code&0xFF == lib.SQLITE_LOCKED:
		e = syncline.Errorf(syncline.Transient, "state_locked", "another process holds the file: %w", err).
			WithFix("end the program that has the state store open")
	case code&0xFF == lib.SQLITE_CORRUPT, code&0xFF == lib.SQLITE_NOTADB:
		errors.As(corrupt(err), &e)
	case code&0xFF == lib.SQLITE_READONLY, code&0xFF == lib.SQLITE_CANTOPEN, code&0xFF == lib.SQLITE_PERM:
		errors.As(unwritable(err), &e)
	case code == lib.SQLITE_IOERR_FSYNC, code == lib.SQLITE_IOERR_DIR_FSYNC:
		// What an earlier sync left behind is unknown: a retry that works would prove nothing.
		e = syncline.Errorf(syncline.Fatal, "state_io", "the disk did not take a write: %w", err).
			WithFix("check the disk, then start again")
	case code&0xFF == lib.SQLITE_IOERR, code&0xFF == lib.SQLITE_NOMEM:
		e = syncline.Errorf(syncline.Transient, "state_io", "read or write the file: %w", err)
	default:
		e = syncline.Errorf(syncline.Fatal, "state_sql", "%w", err)
	}
	return fmt.Errorf("%s: %w", attempt, e)
}
