// Package jetlog keeps the logs of sources in NATS JetStream: in a server inside this process, or in a cluster.
// DESIGN.md says what it guarantees and how.
package jetlog

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"syncline"
)

// Options configure a Server.
type Options struct {
	// Dir holds the embedded server's files; one process at a time. It is made if it is missing.
	Dir string
	// URL is a NATS cluster's, "nats://host:4222,nats://…"; then Dir is not used. "" = the embedded server. The cluster's
	// servers must run with `sync_interval: always`: they alone decide when an append is on disk.
	URL string
	// MaxBytes is the quota of each source's log; 0 = no limit but the disk's.
	MaxBytes int64
	// Logger; nil = discard.
	Logger *slog.Logger
}

// Server is where the logs are. Its methods are safe for concurrent use.
type Server struct {
	opts     Options
	embedded *embedded // nil with a cluster
	nc       *nats.Conn
	js       jetstream.JetStream
	maxBytes atomic.Int64 // of each log, see Resize
	recent   atomic.Int64 // bytes that the tails keep

	mu     sync.Mutex
	conns  map[*nats.Conn]bool
	logs   map[*log]bool
	tails  map[string]*tail // by stream
	closed bool
	// cut is closed, and replaced, when the connection for appends is interrupted: answers are lost.
	cut chan struct{}
}

// lockPatience is how long the lock of another process is waited for, which may be dying.
const lockPatience = 3 * time.Second

// Open starts the embedded server, or connects to the cluster.
func Open(ctx context.Context, opts Options) (*Server, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: opts, conns: make(map[*nats.Conn]bool), logs: make(map[*log]bool), tails: make(map[string]*tail), cut: make(chan struct{})}
	s.maxBytes.Store(opts.MaxBytes)
	if opts.URL == "" {
		e, err := openEmbedded(ctx, opts.Dir, opts.Logger)
		if err != nil {
			return nil, err
		}
		s.embedded = e
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open() error {
	nc, err := s.connect("syncline log", s.interrupted)
	if err != nil {
		return err
	}
	s.nc = nc
	if version := nc.ConnectedServerVersion(); !supported(version) {
		return syncline.Errorf(syncline.Fatal, "log_server_old", "the NATS server has version %q", version).
			WithFix("upgrade it to 2.15 or newer")
	}
	if limit := nc.MaxPayload(); limit < minPayload {
		return syncline.Errorf(syncline.Fatal, "log_payload_small", "the NATS server takes messages of %d bytes at most, and %d are needed",
			limit, minPayload).WithFix("set its max_payload to 64MB")
	}
	s.js, err = jetstream.New(nc)
	if err != nil {
		return syncline.Errorf(syncline.Fatal, "log_unavailable", "use the log server: %w", err)
	}
	return nil
}

// supported reports whether a server of this version has what the log needs: 2.15.
func supported(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, errX := strconv.Atoi(major)
	y, errY := strconv.Atoi(minor)
	return errX == nil && errY == nil && (x > 2 || x == 2 && y >= 15)
}

// Conn returns a new connection to the server: in this process where the server is embedded. It reconnects by itself, also
// when the embedded server had to be started anew. The caller closes it.
func (s *Server) Conn() (*nats.Conn, error) { return s.connect("syncline", nil) }

// connect makes a connection that Close closes at the latest. interrupted is called when it is lost, or was: what was on its
// way is gone.
func (s *Server) connect(name string, interrupted func()) (*nats.Conn, error) {
	if interrupted == nil {
		interrupted = func() {}
	}
	opts := []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(func(attempts int) time.Duration {
			return min(time.Duration(attempts)*10*time.Millisecond, time.Second)
		}),
		nats.ReconnectBufSize(-1), // what cannot be sent now is an error now, not a surprise later
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.opts.Logger.Debug("log connection reports an error", "connection", name, "error", err)
		}),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { interrupted() }),
		nats.ReconnectHandler(func(*nats.Conn) { interrupted() }),
		nats.ClosedHandler(func(nc *nats.Conn) {
			s.mu.Lock()
			delete(s.conns, nc)
			s.mu.Unlock()
		}),
	}
	address := s.opts.URL
	if s.embedded != nil {
		address = ""
		opts = append(opts, nats.InProcessServer(s.embedded))
	}
	for one := range strings.SplitSeq(address, ",") {
		if _, err := url.Parse(strings.TrimSpace(one)); err != nil { // the error would repeat the password
			return nil, syncline.Errorf(syncline.Fatal, "log_url", "the log's url is not one").
				WithFix("write it as nats://host:4222, several separated by commas")
		}
	}
	nc, err := nats.Connect(address, opts...)
	if err != nil {
		return nil, syncline.Errorf(syncline.Transient, "log_unavailable", "connect to the log server: %w", err)
	}
	s.mu.Lock()
	closed := s.closed
	s.conns[nc] = true
	s.mu.Unlock()
	if closed {
		nc.Close()
		return nil, closedError("server")
	}
	return nc, nil
}

// Log opens the log of the source, and makes it if there is none.
func (s *Server) Log(ctx context.Context, source string) (syncline.Log, error) {
	l, err := s.openLog(ctx, source)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Resize sets the quota of each source's log; 0 = no limit but the disk's. A log that is larger takes nothing more until it was purged.
func (s *Server) Resize(ctx context.Context, maxBytes int64) error {
	s.maxBytes.Store(maxBytes)
	s.mu.Lock()
	logs := slices.Collect(maps.Keys(s.logs))
	s.mu.Unlock()
	for _, l := range logs {
		stream, err := s.js.Stream(ctx, l.stream)
		if err == nil {
			_, err = s.fitQuota(ctx, stream)
		}
		if err != nil {
			return unavailable("set the quota of the log of "+l.source, err)
		}
	}
	return nil
}

// unmeasured stands for the space of a disk that nobody here can measure.
const unmeasured = 1 << 60

// Room returns how many bytes logs may still take on the disk. The disks of a cluster are its own concern.
func (s *Server) Room() (int64, error) {
	if s.embedded == nil {
		return unmeasured, nil
	}
	free, err := s.embedded.free()
	return max(free, 0), err
}

// FreeShare returns which share of the disk with the logs is free, and whether that could be measured.
func (s *Server) FreeShare() (share float64, measured bool, err error) {
	if s.embedded == nil {
		return 0, false, nil
	}
	free, total, err := space(s.embedded.dir)
	if err != nil || total == 0 || total == math.MaxUint64 {
		return 0, false, err
	}
	return float64(free) / float64(total), true, nil
}

// DiskFree returns the bytes that this process may still write below a directory, which need not be one of logs, and whether that could be measured.
func DiskFree(dir string) (free uint64, measured bool, err error) {
	free, _, err = space(dir)
	return free, err == nil && free != math.MaxUint64, err
}

// Sources lists the sources that have a log, sorted.
func (s *Server) Sources(ctx context.Context) ([]string, error) {
	list := s.js.ListStreams(ctx, jetstream.WithStreamListSubject(subjectPrefix+"*"))
	var sources []string
	for info := range list.Info() {
		if source, err := strconv.Unquote(info.Config.Metadata[metaSource]); err == nil {
			sources = append(sources, source)
		}
	}
	if err := list.Err(); err != nil {
		return nil, unavailable("list logs", err)
	}
	sort.Strings(sources)
	return sources, nil
}

// Close ends every log, reader and connection, and stops the embedded server.
func (s *Server) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	logs, conns := slices.Collect(maps.Keys(s.logs)), slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	for _, l := range logs {
		errs = append(errs, l.Close())
	}
	for _, nc := range conns {
		nc.Close()
	}
	if s.embedded != nil {
		errs = append(errs, s.embedded.close())
	}
	return errors.Join(errs...)
}

func (s *Server) interrupted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.cut)
	s.cut = make(chan struct{})
}

// connectionCut returns a channel that is closed when the connection for appends is interrupted.
func (s *Server) connectionCut() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

// failed returns a channel that is closed while the embedded server cannot write.
func (s *Server) failed() <-chan struct{} {
	if s.embedded == nil {
		return nil
	}
	return s.embedded.failedChan()
}

func unavailable(what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return syncline.Errorf(syncline.Transient, "log_unavailable", "%s: %w", what, err)
}

func closedError(what string) error {
	return syncline.Errorf(syncline.Transient, "log_closed", "the log's %s is closed", what)
}
