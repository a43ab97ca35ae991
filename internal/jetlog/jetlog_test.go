package jetlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"syncline"
	"syncline/internal/logtest"
)

func TestMain(m *testing.M) {
	if role := os.Getenv("JETLOG_TEST_ROLE"); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func mustOpen(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
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

// batch is the n-th batch of a log: its position is n, and its checkpoint has this size.
func batch(n, size int) *syncline.Batch {
	checkpoint := make([]byte, size)
	for i := range checkpoint {
		checkpoint[i] = byte(n + i)
	}
	return &syncline.Batch{Source: "crm", Position: syncline.Position{Epoch: 1, Commit: uint64(n)}, Checkpoint: checkpoint}
}

func mustAppend(t testing.TB, l *log, from, to, size int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if seq, err := l.Append(t.Context(), batch(n, size)); err != nil || seq != syncline.Seq(n) {
			t.Fatalf("Append(%d) = %d, %v", n, seq, err)
		}
	}
}

// commits reads a whole log and returns the positions of its batches.
func commits(t testing.TB, l *log) []int {
	t.Helper()
	b, err := l.Bounds(t.Context())
	if err != nil {
		t.Fatalf("Bounds = %v", err)
	}
	r, err := l.Read(t.Context(), 1)
	if err != nil {
		t.Fatalf("Read = %v", err)
	}
	defer r.Close()
	var got []int
	for seq := b.First; seq <= b.Last; seq++ {
		e, err := r.Next(t.Context())
		if err != nil || e.Seq != seq {
			t.Fatalf("Next = %d, %v, want %d", e.Seq, err, seq)
		}
		decoded, err := syncline.DecodeBatch(e.Data)
		if err != nil {
			t.Fatalf("DecodeBatch(%d) = %v", seq, err)
		}
		got = append(got, int(decoded.Position.Commit))
	}
	return got
}

func wantCommits(t testing.TB, l *log, want ...int) {
	t.Helper()
	if got := commits(t, l); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("log holds %v, want %v", got, want)
	}
}

func wantError(t testing.TB, what string, err error, class syncline.Class, code string) {
	t.Helper()
	if err == nil || syncline.ClassOf(err) != class || syncline.CodeOf(err) != code {
		t.Fatalf("%s = %v, want %v %s", what, err, class, code)
	}
}

// eventually waits until something has happened that nothing reports.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !happened() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// embeddedStorage is the suite's view of an embedded server. A crash is what kill -9 leaves: the files as they are while
// the server runs.
type embeddedStorage struct {
	server *Server
	dir    string
}

func (s *embeddedStorage) Open(t *testing.T, source string) syncline.Log {
	return mustLog(t, s.server, source)
}

func (s *embeddedStorage) Restart(t *testing.T) {
	if err := s.server.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	s.server = mustOpen(t, Options{Dir: s.dir})
}

func (s *embeddedStorage) Crash(t *testing.T) {
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(s.dir)); err != nil {
		t.Fatalf("copy the log's files: %v", err)
	}
	if err := s.server.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	s.server, s.dir = mustOpen(t, Options{Dir: left}), left
}

func TestEmbeddedLog(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Storage {
		dir := t.TempDir()
		return &embeddedStorage{mustOpen(t, Options{Dir: dir}), dir}
	})
}

// external is a NATS server that is not ours.
type external struct {
	srv *server.Server
	dir string
	// payload is its largest message; 0 = as ours.
	payload int32
}

func (x *external) start(t *testing.T, port int) {
	t.Helper()
	if x.payload == 0 {
		x.payload = maxPayload
	}
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true, MaxPayload: x.payload, MaxPending: maxPending,
		JetStream: true, StoreDir: x.dir, SyncAlways: true, JetStreamMaxStore: 1 << 40,
	})
	if err != nil {
		t.Fatalf("NewServer = %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(startPatience) {
		t.Fatal("the NATS server did not start")
	}
	t.Cleanup(func() { shutdown(srv) })
	x.srv = srv
}

// externalStorage is the suite's view of a server behind a URL. A restart is ours, a crash is the server's.
type externalStorage struct {
	server *Server
	nats   *external
}

func (s *externalStorage) Open(t *testing.T, source string) syncline.Log {
	return mustLog(t, s.server, source)
}

func (s *externalStorage) Restart(t *testing.T) {
	if err := s.server.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	s.server = mustOpen(t, Options{URL: s.nats.srv.ClientURL()})
}

func (s *externalStorage) Crash(t *testing.T) {
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(s.nats.dir)); err != nil {
		t.Fatalf("copy the log's files: %v", err)
	}
	shutdown(s.nats.srv)
	s.nats.dir = left
	s.nats.start(t, -1)
	s.Restart(t)
}

func TestExternalLog(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Storage {
		x := &external{dir: t.TempDir()}
		x.start(t, -1)
		return &externalStorage{mustOpen(t, Options{URL: x.srv.ClientURL()}), x}
	})
}

func TestServerWithLittlePayloadIsRefused(t *testing.T) {
	x := &external{dir: t.TempDir(), payload: 1 << 20} // the default of a NATS server
	x.start(t, -1)
	_, err := Open(t.Context(), Options{URL: x.srv.ClientURL()})
	wantError(t, "Open", err, syncline.Fatal, "log_payload_small")
}

// TestABatchFillsWhatAServerTakes: its headers count, too.
func TestABatchFillsWhatAServerTakes(t *testing.T) {
	x := &external{dir: t.TempDir(), payload: minPayload}
	x.start(t, -1)
	l := mustLog(t, mustOpen(t, Options{URL: x.srv.ClientURL()}), "crm")
	empty, err := syncline.AppendBatch(nil, batch(1, minPayload/2)) // its size is written in as many bytes as that of the largest
	if err != nil {
		t.Fatalf("AppendBatch = %v", err)
	}
	mustAppend(t, l, 1, 1, l.MaxBatch()-(len(empty)-minPayload/2))
	_, err = l.Append(t.Context(), batch(2, l.MaxBatch()))
	wantError(t, "Append of a batch over the limit", err, syncline.Rejected, "log_batch_too_large")
}

func TestReaderIsWokenByAnotherProcess(t *testing.T) {
	x := &external{dir: t.TempDir()}
	x.start(t, -1)
	url := x.srv.ClientURL()
	writer := mustLog(t, mustOpen(t, Options{URL: url}), "crm")
	reading := mustLog(t, mustOpen(t, Options{URL: url}), "crm")
	r, err := reading.Read(t.Context(), 1)
	if err != nil {
		t.Fatalf("Read = %v", err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*pollEvery/2) // by polling alone it would take twice that
	defer cancel()
	for n := 1; n <= 50; n++ {
		mustAppend(t, writer, n, n, 10)
		if e, err := r.Next(ctx); err != nil || e.Seq != syncline.Seq(n) {
			t.Fatalf("Next = %d, %v, want %d", e.Seq, err, n)
		}
	}
}

// TestAReaderThatHearsNothingLearnsTheEnd from what it reads: it need not wait for each window until it looks by itself.
func TestAReaderThatHearsNothingLearnsTheEnd(t *testing.T) {
	x := &external{dir: t.TempDir()}
	x.start(t, -1)
	url := x.srv.ClientURL()
	reading := mustLog(t, mustOpen(t, Options{URL: url}), "crm")
	if err := reading.subs[1].Unsubscribe(); err != nil { // what is announced is lost
		t.Fatalf("Unsubscribe = %v", err)
	}
	const entries = windowEntries + 100
	mustAppend(t, mustLog(t, mustOpen(t, Options{URL: url}), "crm"), 1, entries, 10)
	r, err := reading.Read(t.Context(), 1)
	if err != nil {
		t.Fatalf("Read = %v", err)
	}
	defer r.Close()
	for n := 1; n <= windowEntries+1; n++ {
		if e, err := r.Next(t.Context()); err != nil || e.Seq != syncline.Seq(n) {
			t.Fatalf("Next = %d, %v, want %d", e.Seq, err, n)
		}
	}
	if _, last := reading.tail.state(1); last != entries {
		t.Errorf("in the second window the log is known to reach up to %d, want %d", last, entries)
	}
}

func TestConnectionsOutliveAnExternalRestart(t *testing.T) {
	x := &external{dir: t.TempDir()}
	x.start(t, -1)
	l := mustLog(t, mustOpen(t, Options{URL: x.srv.ClientURL()}), "crm")
	mustAppend(t, l, 1, 3, 10)
	r, err := l.Read(t.Context(), 4)
	if err != nil {
		t.Fatalf("Read = %v", err)
	}
	defer r.Close()
	port := x.srv.Addr().String()
	shutdown(x.srv)
	_, err = l.Append(t.Context(), batch(4, 10))
	wantError(t, "Append without a server", err, syncline.Transient, "log_unavailable")
	var n int
	if _, err := fmt.Sscanf(port, "127.0.0.1:%d", &n); err != nil {
		t.Fatalf("port of %q: %v", port, err)
	}
	x.start(t, n)
	eventually(t, "an append succeeds", func() bool { _, err := l.Append(t.Context(), batch(4, 10)); return err == nil })
	wantCommits(t, l, 1, 2, 3, 4)
	if e, err := r.Next(t.Context()); err != nil || e.Seq != 4 {
		t.Errorf("Next = %d, %v, want 4", e.Seq, err)
	}
}

func TestSources(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	for _, name := range []string{"crm", "a.b *>", "", "データ\xff"} {
		mustLog(t, s, name)
	}
	got, err := s.Sources(t.Context())
	if want := []string{"", "a.b *>", "crm", "データ\xff"}; err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("Sources = %q, %v, want %q", got, err, want)
	}
}

func TestConnServesKeyValue(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	nc, err := s.Conn()
	if err != nil {
		t.Fatalf("Conn = %v", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("jetstream.New = %v", err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "cache"})
	if err != nil {
		t.Fatalf("CreateKeyValue = %v", err)
	}
	if _, err := kv.PutString(t.Context(), "k", "v"); err != nil {
		t.Errorf("Put = %v", err)
	}
	if e, err := kv.Get(t.Context(), "k"); err != nil || string(e.Value()) != "v" {
		t.Errorf("Get = %v, %v, want v", e, err)
	}
	if sources, err := s.Sources(t.Context()); err != nil || len(sources) != 0 {
		t.Errorf("Sources = %q, %v, want none: a bucket is not a log", sources, err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	l := mustLog(t, s, "crm")
	r, err := l.Read(t.Context(), 1)
	if err != nil {
		t.Fatalf("Read = %v", err)
	}
	done := make(chan error, 1) // sent to once by the reader
	go func() {
		_, err := r.Next(context.Background())
		done <- err
	}()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("Close = %v", err)
		}
	}
	wantError(t, "Next", <-done, syncline.Transient, "log_closed")
	_, err = l.Append(t.Context(), batch(1, 1))
	wantError(t, "Append", err, syncline.Transient, "log_closed")
	if _, err := s.Log(t.Context(), "crm"); err == nil {
		t.Error("Log of a closed server = nil error")
	}
	if _, err := s.Conn(); err == nil {
		t.Error("Conn of a closed server = nil error")
	}
}

func TestOpenRefuses(t *testing.T) {
	_, err := Open(t.Context(), Options{URL: "nats://user:secret@[::1"})
	wantError(t, "Open with a broken url", err, syncline.Fatal, "log_url")
	_, err = Open(t.Context(), Options{URL: "nats://127.0.0.1:1"})
	wantError(t, "Open without a server", err, syncline.Transient, "log_unavailable")
	_, err = Open(t.Context(), Options{})
	wantError(t, "Open without a directory", err, syncline.Fatal, "log_dir")
	for version, want := range map[string]bool{"2.14.9": false, "2.15.0": true, "2.15.2-beta.1": true, "2.9.10": false, "3.0.0": true, "": false} {
		if got := supported(version); got != want {
			t.Errorf("supported(%q) = %v, want %v", version, got, want)
		}
	}
}

func TestForeignStreamIsRefused(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	config := streamConfig("crm", "id", 0)
	config.Metadata = nil
	if _, err := s.js.CreateStream(t.Context(), config); err != nil {
		t.Fatalf("CreateStream = %v", err)
	}
	_, err := s.Log(t.Context(), "crm")
	wantError(t, "Log", err, syncline.Fatal, "log_foreign")
}

// TestAppendsAreSynced: without this, the server answers two minutes before it syncs.
func TestAppendsAreSynced(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	if !s.embedded.srv.JetStreamConfig().SyncAlways {
		t.Error("the server does not sync before it answers")
	}
}

func TestCancelledOpen(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, Options{Dir: dir})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Open(ctx, Options{Dir: dir}); err == nil {
		t.Error("Open = nil error in a locked directory")
		s.Close()
	} else if errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open = %v", err)
	}
}

func FuzzPlace(f *testing.F) {
	f.Add("crm", "CRM")
	f.Add("a.b", "ab")
	f.Add("", "\x00")
	f.Fuzz(func(t *testing.T, a, b string) {
		p, q := place(a), place(b)
		if (p == q) != (a == b) {
			t.Errorf("place(%q) = %q, place(%q) = %q", a, p, b, q)
		}
		for _, c := range []byte(p) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') || len(p) > 64 {
				t.Errorf("place(%q) = %q: no name for a file and a subject", a, p)
			}
		}
	})
}
