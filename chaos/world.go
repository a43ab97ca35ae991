package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"syncline/internal/ops"
	"syncline/internal/testserver"
)

// patience is how long everything may take once nothing is wrong any more.
const patience = 60 * time.Second

// world is a source with writers, the program, its targets, and those who watch.
type world struct {
	opts   options
	plan   plan
	folder string     // of this run
	home   string     // state and log of the program
	disk   disk       // that home is on; nil = on that of the folder, or of options.dir
	power  sync.Mutex // held while the disk has none, and by whoever needs it to have some
	stderr io.Writer
	began  time.Time

	src, dst *postgres
	cache    *cache
	bus      *bus
	hook     *receiver
	pushed   *pushed
	sides    []*side // of the two-way rule; none, or two
	clock    *clock  // of the program; nil = it was not made yet
	net      *network
	program  *program
	api      atomic.Pointer[ops.Client] // another one when the token is another one
	server   string                     // where the API is, by its proxy
	apiPort  int                        // where it listens
	logLimit string                     // what the configuration says of the log's size; "" = it has room
	secrets  []string                   // that must be told to nobody

	journal *journal
	writers *writers
	watch   *watch
	before  usage // of the program when it had done nothing yet

	mu     sync.Mutex
	lines  []string
	counts map[string]int
	groups map[string]*sync.Mutex
}

func newWorld(o options, p plan, folder string, stderr io.Writer) *world {
	w := &world{opts: o, plan: p, folder: folder, stderr: stderr, began: time.Now(), counts: make(map[string]int), groups: make(map[string]*sync.Mutex)}
	w.journal, w.watch = newJournal(), newWatch(w)
	return w
}

// run starts everything, carries out the plan, and checks the end. What breaks a promise is with watch; an error is anything else.
func (w *world) run(ctx context.Context) error {
	if err := w.start(ctx); err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	w.watch.end = end
	watching, done := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer done()
	w.watch.run(watching, &wg)
	w.writers.start()
	err := w.carryOut(ctx)
	if err == nil {
		err = w.finish(ctx)
	}
	w.writers.stop()
	if w.watch.over() {
		return nil // what came of it is told as a broken promise
	}
	return err
}

// start brings the world up to the moment when every route works.
func (w *world) start(ctx context.Context) error {
	w.home = filepath.Join(w.folder, "home")
	if w.opts.dir != "" {
		home, err := os.MkdirTemp(w.opts.dir, "syncline-home-")
		if err != nil {
			return err
		}
		w.home = home
	} else if err := w.mountDisk(); err != nil {
		return err
	}
	if err := os.MkdirAll(w.home, 0o700); err != nil {
		return err
	}
	if err := w.startServers(ctx); err != nil {
		return err
	}
	if err := w.makeTables(ctx); err != nil {
		return err
	}
	var err error
	if w.writers, err = newWriters(ctx, w); err != nil {
		return err
	}
	if err := w.writers.fill(ctx); err != nil {
		return fmt.Errorf("fill the source: %w", err)
	}
	if err := w.openSides(ctx); err != nil {
		return fmt.Errorf("make the two sides: %w", err)
	}
	if err := w.configure(ctx); err != nil {
		return err
	}
	if err := w.program.start(startOptions{}); err != nil {
		return err
	}
	if err := w.ready(ctx); err != nil {
		return fmt.Errorf("the first start: %w", err)
	}
	w.log("all routes work")
	w.before, err = w.usage(ctx)
	return err
}

// mountDisk gives the program's directories a disk of their own, where that can be done here.
func (w *world) mountDisk() error {
	d, home, err := openDisk(w.folder)
	if cannotMount(err) {
		w.log("no power cuts and full disks: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	w.disk, w.home = d, home
	return nil
}

// startServers starts the servers side by side, and a proxy before each.
func (w *world) startServers(ctx context.Context) error {
	w.net = newNetwork()
	w.hook, w.pushed = newReceiver(w), newPushed(w)
	var err error
	if w.clock, err = newClock(w.folder); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	wg.Go(func() {
		w.src, errs[0] = newPostgres(ctx, "wal_sender_timeout=5s", "fsync=off", "deadlock_timeout=50ms", "track_commit_timestamp=on")
	})
	wg.Go(func() {
		w.dst, errs[1] = newPostgres(ctx, "wal_sender_timeout=5s", "fsync=off", "deadlock_timeout=50ms")
	})
	wg.Go(func() { w.cache, errs[2] = newCache() })
	wg.Go(func() { w.bus, errs[3] = newBus(w.folder) })
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for name, port := range map[string]int{"src": w.src.server.Port, "writers": w.src.server.Port, "dst": w.dst.server.Port, "users": w.dst.server.Port, "cache": w.cache.server.Port, "bus": w.bus.port, "hook": w.hook.port()} {
		if err := w.net.add(name, port); err != nil {
			return err
		}
	}
	return nil
}

// ready waits until every source and route works.
func (w *world) ready(ctx context.Context) error {
	return w.eventually(ctx, patience, func(ctx context.Context) error {
		r, err := w.api.Load().Ready(ctx)
		if err == nil && !r.Ready {
			err = fmt.Errorf("not ready: %v", r.Reasons)
		}
		return err
	})
}

// eventually asks until check returns nil, and gives up when a promise was broken.
func (w *world) eventually(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		one, stop := context.WithTimeout(ctx, 10*time.Second)
		err := check(one)
		stop()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if w.watch.over() {
			return fmt.Errorf("given up: %w", last)
		}
		if sleep(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("not within %s: %w", limit, last)
		}
	}
}

// log notes what happens, for the report.
func (w *world) log(format string, args ...any) {
	line := fmt.Sprintf("%8.3fs  %s", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
	w.mu.Lock()
	w.lines = append(w.lines, line)
	w.mu.Unlock()
	if w.opts.verbose {
		fmt.Fprintln(w.stderr, line) //nolint:errcheck // progress
	}
}

func (w *world) count(what string) { w.add(what, 1) }

func (w *world) add(what string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what] += n
}

// group is the lock of a group of faults.
func (w *world) group(name string) *sync.Mutex {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.groups[name] == nil {
		w.groups[name] = new(sync.Mutex)
	}
	return w.groups[name]
}

// close ends everything that runs.
func (w *world) close() {
	if w.writers != nil {
		w.writers.stop()
		defer w.writers.pool.Close() // whose connections end with the server
	}
	if w.program != nil {
		w.program.kill()
	}
	if w.disk != nil {
		if w.opts.keep || w.watch.over() { // the disk goes
			if err := os.CopyFS(filepath.Join(w.folder, "kept"), os.DirFS(w.home)); err != nil {
				w.log("the program's directories are not kept: %v", err)
			}
		}
		if err := w.disk.Close(); err != nil {
			w.log("the disk stays: %v", err)
		}
	}
	if w.net != nil {
		w.net.close()
	}
	if w.hook != nil {
		w.hook.close()
	}
	if w.clock != nil {
		w.clock.close()
	}
	for _, s := range w.sides {
		defer s.close() // whose connections end with the server
	}
	if w.src != nil {
		w.src.close(filepath.Join(w.folder, "source.log"))
	}
	if w.dst != nil {
		w.dst.close(filepath.Join(w.folder, "warehouse.log"))
	}
	if w.cache != nil {
		w.cache.close()
	}
	if w.bus != nil {
		w.bus.close()
	}
}

// removeHome removes what is not in the run's folder.
func (w *world) removeHome() error { return os.RemoveAll(w.home) }

// postgres is a server and the connections of those who look at it, which go past the proxy.
type postgres struct {
	server *testserver.Postgres
	pool   *pgxpool.Pool
}

const database = "chaos"

func newPostgres(ctx context.Context, settings ...string) (*postgres, error) {
	s, err := testserver.StartPostgres(settings...)
	if err != nil {
		return nil, err
	}
	p := &postgres{server: s}
	if err := p.create(ctx, database); err != nil {
		s.Close()
		return nil, err
	}
	return p, nil
}

// create makes the database and a pool of connections to it.
func (p *postgres) create(ctx context.Context, database string) error {
	admin, err := pgxpool.New(ctx, p.server.URL("postgres"))
	if err != nil {
		return err
	}
	defer admin.Close()
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+database); err != nil {
		return err
	}
	p.pool, err = pgxpool.New(ctx, p.server.URL(database)+"&pool_max_conns=12&application_name=chaos")
	return err
}

// close leaves what the server has printed in the file.
func (p *postgres) close(log string) {
	p.server.Signal(contSignal)
	if p.pool != nil {
		// Close waits for connections in use, which a server that is killed gives back.
		p.server.Kill()
		p.pool.Close()
		_ = os.WriteFile(log, p.server.Output(), 0o600)
	}
	p.server.Close()
}

// exec runs statements one by one.
func (p *postgres) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := p.pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.60s: %w", sql, err)
		}
	}
	return nil
}

// token is a random text.
func token(rnd *rand.Rand) string { return fmt.Sprintf("canary%016x%016x", rnd.Uint64(), rnd.Uint64()) }
