package testserver

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Redis is a throw-away Redis server that appends every write to its file and syncs each second.
type Redis struct {
	Port int
	Dir  string
	bin  string
	proc *process
}

// NewRedis starts a server for one test.
func NewRedis(tb testing.TB) *Redis {
	tb.Helper()
	s, err := StartRedis()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// StartRedis makes and starts a server.
func StartRedis() (*Redis, error) {
	bin, err := find("redis-server", "/usr/bin/redis-server", "/usr/sbin/redis-server")
	if err != nil {
		return nil, err
	}
	s := &Redis{bin: bin}
	if s.Dir, err = os.MkdirTemp("", "syncline-redis-"); err != nil {
		return nil, err
	}
	if s.Port, err = FreePort(); err == nil {
		err = s.Start()
	}
	if err != nil {
		_ = os.RemoveAll(s.Dir)
		return nil, err
	}
	return s, nil
}

// Start starts the server again after Kill, on the same port and data.
func (s *Redis) Start() error {
	var err error
	if s.proc, err = start(nil, s.bin, "--port", fmt.Sprint(s.Port), "--bind", "127.0.0.1", "--dir", s.Dir, "--appendonly", "yes", "--save", ""); err != nil {
		return err
	}
	return s.proc.waitReady(func(ctx context.Context) error {
		c := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port), MaxRetries: -1})
		defer c.Close() //nolint:errcheck // a probe
		return c.Ping(ctx).Err()
	})
}

// Kill ends the server at once.
func (s *Redis) Kill() { s.proc.stop(syscall.SIGKILL) }

// Close stops the server and removes its data.
func (s *Redis) Close() {
	s.proc.stop(syscall.SIGKILL)
	_ = os.RemoveAll(s.Dir)
}

// URL returns the address as redis://….
func (s *Redis) URL() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", s.Port) }
