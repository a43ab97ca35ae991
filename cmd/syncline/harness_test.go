package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// patience is how long anything may take that a test waits for.
const patience = 60 * time.Second

// programDir is where the program is built.
var programDir string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	var err error
	if programDir, err = os.MkdirTemp("", "syncline-bin-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programDir) //nolint:errcheck // a temporary directory
	return m.Run()
}

// binary is the program with failpoints, built once.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programDir, "syncline")
	cmd := exec.Command("go", "build", "-tags", "failpoint", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// output is what a process prints, and can be looked at while it does.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// Bytes returns a copy of what was printed so far.
func (o *output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.text.Bytes())
}

func (o *output) String() string { return string(o.Bytes()) }

// program is the real binary on a configuration, which can be killed and started again.
type program struct {
	t      *testing.T
	dir    string
	config string
	port   int
	env    []string
	flags  []string // of run
	api    *ops.Client

	cmd  *exec.Cmd
	log  *output
	done chan error // receives the end of the process
}

// newProgram writes the configuration; %d in it is the API's port.
func newProgram(t *testing.T, config string, env ...string) *program {
	t.Helper()
	port, err := testserver.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, dir: t.TempDir(), port: port, env: env}
	if p.api, err = ops.NewClient(p.url()); err != nil {
		t.Fatal(err)
	}
	p.config = filepath.Join(p.dir, "syncline.yaml")
	head := fmt.Sprintf("version: 1\nhttp: {listen: \"127.0.0.1:%d\"}\n", port)
	if err := os.WriteFile(p.config, []byte(head+config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
		if t.Failed() && p.log != nil {
			t.Logf("log of the last process:\n%s", lastBytes(p.log.Bytes(), 6000))
		}
	})
	return p
}

func lastBytes(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// start starts the process; env is added to its environment.
func (p *program) start(env ...string) {
	p.t.Helper()
	path, err := binary()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(path, append([]string{"run", "-c", p.config}, p.flags...)...)
	p.cmd.Env = append(append(os.Environ(), p.env...), env...)
	p.log = new(output)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan error, 1)
	p.done = done
	go func(cmd *exec.Cmd) { done <- cmd.Wait() }(p.cmd)
}

// kill ends the process as kill -9 does.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	p.cmd = nil
}

// died waits for the process to end by itself.
func (p *program) died() error {
	p.t.Helper()
	select {
	case err := <-p.done:
		p.cmd = nil
		return err
	case <-time.After(patience):
		p.t.Fatalf("the process did not end")
		return nil
	}
}

// stop asks the process to end and returns its exit error.
func (p *program) stop() error {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.died()
}

// url is where the API answers.
func (p *program) url() string { return fmt.Sprintf("http://127.0.0.1:%d", p.port) }

// client is one for all calls: another for each would leave a connection behind for each, of which the server has a bound.
func (p *program) client() *ops.Client { return p.api }

// eventually polls until check returns nil.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var err error
	for {
		now := check(ctx)
		if now == nil {
			return
		}
		if ctx.Err() == nil || err == nil {
			err = now
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

// ready waits until every source and route works.
func (p *program) ready() {
	p.t.Helper()
	c := p.client()
	eventually(p.t, "ready", func(ctx context.Context) error {
		r, err := c.Ready(ctx)
		if err == nil && !r.Ready {
			err = fmt.Errorf("not ready: %v", r.Reasons)
		}
		return err
	})
}

// answers waits until the API is there.
func (p *program) answers() {
	p.t.Helper()
	c := p.client()
	eventually(p.t, "the API answers", func(ctx context.Context) error {
		_, err := c.Status(ctx)
		return err
	})
}

// system returns a system's account of itself.
func (p *program) system(name string) ops.SystemStatus {
	p.t.Helper()
	list, err := p.client().Systems(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range list {
		if s.Name == name {
			return s
		}
	}
	p.t.Fatalf("there is no system %s", name)
	return ops.SystemStatus{}
}

// routes returns the routes' account of themselves.
func (p *program) routes() map[string]ops.RouteStatus {
	p.t.Helper()
	list, err := p.client().Routes(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	byID := make(map[string]ops.RouteStatus)
	for _, r := range list {
		byID[r.ID] = r
	}
	return byID
}

// caughtUp waits until no route has anything left of what was captured up to now.
func (p *program) caughtUp() {
	p.t.Helper()
	c := p.client()
	eventually(p.t, "catch up", func(ctx context.Context) error {
		list, err := c.Routes(ctx)
		if err != nil {
			return err
		}
		for _, r := range list {
			if r.LagEvents > 0 || r.State != ops.RouteRunning {
				return fmt.Errorf("route %s is %s, %d events behind, error %+v", r.ID, r.State, r.LagEvents, r.Error)
			}
		}
		return nil
	})
}

// connect opens a pool on a database.
func connect(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func mustExec(t *testing.T, db *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// table returns a table's rows as text, sorted.
func table(ctx context.Context, db *pgxpool.Pool, columns, name string) ([]string, error) {
	rows, err := db.Query(ctx, fmt.Sprintf("SELECT (ROW(%s))::text FROM %s ORDER BY 1", columns, name))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// openSQLite opens a database file that the program uses too, and makes it if it is not there.
func openSQLite(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
