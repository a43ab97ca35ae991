package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	goredis "github.com/redis/go-redis/v9"

	"syncline/internal/testserver"
)

const (
	stopSignal = syscall.SIGSTOP
	contSignal = syscall.SIGCONT
)

// cache is a Redis server and a connection past the proxy.
type cache struct {
	server *testserver.Redis
	client *goredis.Client
}

func newCache() (*cache, error) {
	goredis.SetLogger(silent{}) // that the server is down is known here
	s, err := testserver.StartRedis()
	if err != nil {
		return nil, err
	}
	return &cache{server: s, client: goredis.NewClient(&goredis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port), MaxRetries: -1, ReadTimeout: time.Second, DialTimeout: time.Second})}, nil
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func (c *cache) close() {
	c.server.Signal(contSignal)
	_ = c.client.Close()
	c.server.Close()
}

// natsCommand is how this program is called to be a NATS server, which can then be killed like any other.
const natsCommand = "serve-nats"

// serveNATS is a NATS server with JetStream that syncs every message; args are the folder and the port.
func serveNATS(args []string) int {
	port, err := strconv.Atoi(args[1])
	if err != nil {
		return 2
	}
	s, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: args[0], SyncAlways: true, NoSigs: true, NoLog: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Start()
	// Whoever started it may be killed: then it is no child of theirs any more.
	parent := os.Getppid()
	for os.Getppid() == parent {
		time.Sleep(200 * time.Millisecond)
	}
	s.Shutdown()
	return 0
}

// bus is a NATS server in a process of its own, and a connection past the proxy.
type bus struct {
	dir  string
	port int
	cmd  *exec.Cmd
	conn *nats.Conn
	js   jetstream.JetStream
}

func newBus(folder string) (*bus, error) {
	port, err := testserver.FreePort()
	if err != nil {
		return nil, err
	}
	b := &bus{dir: filepath.Join(folder, "bus"), port: port}
	if err := b.start(); err != nil {
		return nil, err
	}
	for range 100 {
		if b.conn, err = nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", port), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		b.kill()
		return nil, fmt.Errorf("connect to the NATS server: %w", err)
	}
	b.js, err = jetstream.New(b.conn)
	return b, err
}

func (b *bus) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.cmd = exec.Command(self, natsCommand, b.dir, fmt.Sprint(b.port))
	b.cmd.Stderr = os.Stderr
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return b.cmd.Start()
}

func (b *bus) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

func (b *bus) signal(sig syscall.Signal) { _ = b.cmd.Process.Signal(sig) }

func (b *bus) close() {
	if b.conn != nil {
		b.conn.Close()
	}
	b.kill()
}

// entries are the records of line in the bucket, by key.
func (b *bus) entries(ctx context.Context) (map[string][]byte, error) {
	kv, err := b.js.KeyValue(ctx, "chaos")
	if err != nil {
		return nil, err
	}
	watch, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer watch.Stop() //nolint:errcheck // what it gave is complete
	all := make(map[string][]byte)
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case entry := <-watch.Updates():
			if entry == nil {
				return all, nil
			}
			all[entry.Key()] = entry.Value()
		}
	}
}
