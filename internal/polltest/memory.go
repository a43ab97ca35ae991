package polltest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"syncline/internal/state"
)

// NewMemory makes a state store, which is the memory of polled sources, for one test.
func NewMemory(t testing.TB) *state.Store {
	t.Helper()
	file, err := newStore()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	store, err := state.Open(context.Background(), state.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// newStore is the file of a state store that nothing is in. Making one takes longer than most of the tests.
var newStore = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "polltest")
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
