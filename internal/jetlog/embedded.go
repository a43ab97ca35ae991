package jetlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"syncline"
	"syncline/internal/plant"
)

const (
	// maxPayload is the largest message that the server takes; a batch is limited to maxBatch, which its files can hold.
	maxPayload = 64 << 20
	// maxPending is how much may wait for one connection before the server calls it slow and closes it: a few messages of the
	// largest kind.
	maxPending = 256 << 20
	// reserve is what stays free on the disk, so that the server itself never meets a full one, which it survives only by a
	// new start. On a small file system it is a sixteenth.
	reserve = 64 << 20
	// startPatience is for the server to take connections after it has recovered the logs.
	startPatience = 10 * time.Second
	// retryEvery is how often a failed server is tried again.
	retryEvery = 250 * time.Millisecond
)

// embedded is a NATS server in this process and the lock on its directory.
//
// The server never gets over a write error: the stream stays unwritable, and the publisher gets no answer. So a goroutine
// watches it: at the first sign of an error it asks for the server's health, lets every append fail at once while it is
// bad, and replaces the server when the disk can be written again. Connections come back by themselves, for they dial
// through InProcessConn.
type embedded struct {
	dir    string
	logger *slog.Logger
	lock   *os.File

	mu     sync.Mutex
	srv    *server.Server // nil between two servers
	cause  error          // why the server cannot write; nil = it can
	failed chan struct{}  // closed while cause is set

	// nudge asks the watcher to look at the server's health. Sent to by anyone without blocking; never closed; one is enough.
	nudge   chan struct{}
	stop    chan struct{} // closed by close
	stopped chan struct{} // closed by the watcher
}

func openEmbedded(ctx context.Context, dir string, logger *slog.Logger) (*embedded, error) {
	if dir == "" {
		return nil, syncline.Errorf(syncline.Fatal, "log_dir", "the log has no directory")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, diskError("make the log directory", err)
	}
	lock, err := lockDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	e := &embedded{
		dir: dir, logger: logger, lock: lock, failed: make(chan struct{}), nudge: make(chan struct{}, 1),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	e.srv, err = e.start()
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	go e.watch()
	return e, nil
}

// start runs a server and checks that it has recovered every log.
func (e *embedded) start() (*server.Server, error) {
	if err := sweep(filepath.Join(e.dir, server.JetStreamStoreDir)); err != nil {
		return nil, diskError("clean the log directory", err)
	}
	srv, err := server.NewServer(&server.Options{
		ServerName:         "syncline",
		DontListen:         true,
		NoSigs:             true,
		NoLog:              true,
		MaxPayload:         maxPayload,
		MaxPending:         maxPending,
		JetStream:          true,
		JetStreamMaxStore:  math.MaxInt64 / 2, // quotas are the streams' own
		JetStreamMaxMemory: 256 << 20,
		StoreDir:           e.dir,
		SyncAlways:         !plant.NoSync,
	})
	if err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "log_start", "start the log server: %w", err)
	}
	var fatal error // set by Start, which has done all the work when it returns
	srv.SetLoggerV2(serverLog{e, func(err error) { fatal = err }}, false, false, false)
	srv.Start()
	if fatal == nil && !srv.ReadyForConnections(startPatience) {
		fatal = fmt.Errorf("it is not ready after %v", startPatience)
	}
	if fatal != nil {
		shutdown(srv)
		return nil, syncline.Errorf(syncline.Transient, "log_start", "start the log server in %s: %w", e.dir, fatal).
			WithFix("check that the directory can be written and has space")
	}
	if err := health(srv); err != nil {
		shutdown(srv)
		return nil, syncline.Errorf(syncline.Fatal, "log_corrupt", "the log server cannot use what is in %s: %w", e.dir, err).
			WithFix("check the disk; restore the directory, or move it away to begin new logs with a full sync")
	}
	return srv, nil
}

// sweep removes the files by which a server tried whether it may write, and which it left behind because it was killed in that
// moment: the next server would take one for an account that it cannot resolve.
func sweep(root string) error {
	for _, pattern := range []string{"_test_*", "*/streams/*/_test_*"} {
		left, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, path := range left {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func shutdown(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

// InProcessConn implements nats.InProcessConnProvider.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	srv := e.srv
	e.mu.Unlock()
	if srv == nil {
		return nil, errors.New("the embedded log server is being started anew")
	}
	return srv.InProcessConn()
}

// room returns an error where a write of n bytes could fill the disk.
func (e *embedded) room(n int) error {
	free, err := e.free()
	switch {
	case err != nil || free >= int64(n):
		return err
	case free < 0:
		return diskError("append to log", fmt.Errorf("the disk is full: %d bytes of the reserve are in use, and %d more are needed", -free, n))
	}
	return diskError("append to log", fmt.Errorf("%d bytes are free beside the reserve, %d are needed", free, n))
}

// free returns the bytes that logs may still take on the disk, without the reserve; below 0 where that is in use.
func (e *embedded) free() (int64, error) {
	free, total, err := space(e.dir)
	if err != nil {
		return 0, diskError("measure the log's disk", err)
	}
	return int64(min(free, unmeasured)) - int64(min(reserve, total/16)), nil
}

func (e *embedded) failedChan() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

// failure returns why the server cannot write, or nil.
func (e *embedded) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cause == nil {
		return nil
	}
	return diskError("write the log", e.cause)
}

// suspect asks for a look at the server's health.
func (e *embedded) suspect() {
	select {
	case e.nudge <- struct{}{}:
	default:
	}
}

func (e *embedded) watch() {
	defer close(e.stopped)
	for {
		select {
		case <-e.stop:
			return
		case <-e.nudge:
			if err := health(e.srv); err != nil {
				e.fail(err)
				if !e.recover() {
					return
				}
			}
		}
	}
}

func (e *embedded) fail(cause error) {
	e.mu.Lock()
	e.cause = cause
	close(e.failed)
	e.mu.Unlock()
	e.logger.Warn("log cannot be written", "dir", e.dir, "error", cause)
}

// recover tries until the server is replaced, or returns false when the server is closed.
func (e *embedded) recover() bool {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.stop:
			return false
		case <-tick.C:
			if e.room(0) != nil || probe(e.dir) != nil {
				continue
			}
			if err := e.restart(); err != nil {
				e.logger.Warn("log server did not come back", "dir", e.dir, "error", err)
				continue
			}
			return true
		}
	}
}

func (e *embedded) restart() error {
	e.mu.Lock()
	old := e.srv
	e.srv = nil
	e.mu.Unlock()
	if old != nil {
		shutdown(old)
	}
	if err := settle(filepath.Join(e.dir, server.JetStreamStoreDir)); err != nil {
		return diskError("check the log's files", err)
	}
	srv, err := e.start()
	if err != nil {
		return err
	}
	select {
	case <-e.nudge: // from the old server's end
	default:
	}
	e.mu.Lock()
	e.srv, e.cause, e.failed = srv, nil, make(chan struct{})
	e.mu.Unlock()
	e.logger.Info("log can be written again", "dir", e.dir)
	return nil
}

func (e *embedded) close() error {
	close(e.stop)
	<-e.stopped
	if e.srv != nil {
		shutdown(e.srv)
	}
	return e.lock.Close()
}

// probe reports whether the disk takes a small file.
func probe(dir string) error {
	path := filepath.Join(dir, "probe")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 1<<20))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(path))
}

func diskError(what string, err error) error {
	return syncline.Errorf(syncline.Transient, "log_disk", "%s: %w", what, err).
		WithFix("free space on the log's disk, or repair it; work goes on by itself then")
}
