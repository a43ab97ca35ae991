// Package statetest makes state stores for tests. A store is made by its migrations, which take half a second under the race detector, longer
// than most of the tests: so one is made, and the others are copies of its file. All of a process have the same id; a test about a store that
// is another one makes it by state.Open.
package statetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"syncline/internal/state"
)

// Create makes the file of a store that nothing is in.
func Create(path string) error {
	file, err := empty()
	if err != nil {
		return err
	}
	return os.WriteFile(path, file, 0o600)
}

// Open makes a store that is closed and removed at the test's end.
func Open(t testing.TB) *state.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	if err := Create(path); err != nil {
		t.Fatal(err)
	}
	s, err := state.Open(context.Background(), state.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var empty = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "statetest")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "state.db")
	store, err := state.Open(context.Background(), state.Options{Path: path})
	if err != nil {
		return nil, err
	}
	if err := store.Close(); err != nil { // which brings everything into the one file
		return nil, err
	}
	return os.ReadFile(path)
})
