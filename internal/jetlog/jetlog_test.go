package jetlog

import (
	"os"
	"testing"

	"syncline"
	"syncline/internal/logtest"
)

func mustOpen(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustLog(t testing.TB, s *Server, source string) *log {
	t.Helper()
	l, err := s.openLog(t.Context(), source)
	if err != nil {
		t.Fatalf("Log(%q) = %v", source, err)
	}
	return l
}

// storage is an embedded server. A crash is what kill -9 leaves: the files as they are while the server runs.
type storage struct {
	server *Server
	dir    string
}

func (s *storage) Open(t *testing.T, source string) syncline.Log { return mustLog(t, s.server, source) }

func (s *storage) Restart(t *testing.T) {
	if err := s.server.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	s.server = mustOpen(t, Options{Dir: s.dir})
}

func (s *storage) Crash(t *testing.T) {
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(s.dir)); err != nil {
		t.Fatalf("copy the log's files: %v", err)
	}
	if err := s.server.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	s.server, s.dir = mustOpen(t, Options{Dir: left}), left
}

func TestLog(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Storage {
		dir := t.TempDir()
		return &storage{mustOpen(t, Options{Dir: dir}), dir}
	})
}
