package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"syncline/internal/ops"
)

// watch is what is checked all the time.
type watch struct {
	w   *world
	end context.CancelFunc // ends the run

	mu       sync.Mutex
	found    []problem
	allowed  map[string]int // codes that a halt may have now, by how many faults expect them
	exits    int            // how many faults expect the process to end by itself
	tears    bool           // a record may have values of two versions now
	newest   map[string]int64
	observed map[write]bool
}

// problem is a promise that was broken.
type problem struct {
	at            time.Duration
	promise, what string
}

func newWatch(w *world) *watch {
	return &watch{w: w, end: func() {}, allowed: make(map[string]int), newest: make(map[string]int64), observed: make(map[write]bool)}
}

// fail records that a promise was broken. The first one ends the run: what follows may follow from it.
func (o *watch) fail(promise, format string, args ...any) {
	p := problem{at: time.Since(o.w.began), promise: promise, what: fmt.Sprintf(format, args...)}
	o.mu.Lock()
	first := len(o.found) == 0
	o.found = append(o.found, p)
	end := o.end
	o.mu.Unlock()
	if first {
		o.w.log("BROKEN: %s: %s", p.promise, p.what)
		end()
	}
}

func (o *watch) problems() []problem {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.found)
}

func (o *watch) over() bool { return len(o.problems()) > 0 }

// expect announces codes that a source or route may halt with; expected takes that back.
func (o *watch) expect(codes ...string)   { o.allow(1, codes) }
func (o *watch) expected(codes ...string) { o.allow(-1, codes) }

// allowedNow are the codes that a halt may have now. Whoever asks for the state of things asks for them first: the answer may be looked at when
// they have just been taken back.
func (o *watch) allowedNow() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.allowed)
}

func (o *watch) allow(n int, codes []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, code := range codes {
		o.allowed[code] += n
	}
}

// expectExit announces that the process may end by itself; expectedExit takes that back.
func (o *watch) expectExit()   { o.exit(1) }
func (o *watch) expectedExit() { o.exit(-1) }

func (o *watch) exit(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.exits += n
}

// tear says whether records may have values of two versions: where changes were lost, an update that does not send every column meets an older
// record, until the source was read again.
func (o *watch) tear(may bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tears = may
}

func (o *watch) mayTear() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tears
}

// ended is told of a process that has ended by itself.
func (o *watch) ended(err error) {
	o.mu.Lock()
	fine := o.exits > 0
	o.mu.Unlock()
	if !fine {
		o.fail("the process works on", "it has ended by itself: %v", err)
	}
}

// run watches until ctx ends.
func (o *watch) run(ctx context.Context, wg *sync.WaitGroup) {
	for every, look := range map[time.Duration]func(context.Context){
		90 * time.Millisecond: o.positions, 110 * time.Millisecond: o.warehouse, 190 * time.Millisecond: o.tables, 210 * time.Millisecond: o.documents, 230 * time.Millisecond: o.states,
	} {
		wg.Go(func() {
			for sleep(ctx, every) == nil {
				one, cancel := context.WithTimeout(ctx, 2*time.Second)
				look(one)
				cancel()
			}
		})
	}
}

// positions sees that no source is told more than its log has. What it was told is asked first: the log only grows.
func (o *watch) positions(ctx context.Context) {
	told := make(map[string]int64)
	sources := map[string]*postgres{"crm": o.w.src}
	for _, s := range o.w.sides {
		sources[s.name] = s.db
	}
	for name, p := range sources {
		var at int64
		switch err := p.pool.QueryRow(ctx, `SELECT confirmed_flush_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = $1 AND active`, "syncline_"+name).Scan(&at); {
		case err == nil:
			told[name] = at
		case isServerError(err):
			o.fail("the check itself", "look at the slot of %s: %v", name, err)
		}
	}
	if len(told) == 0 {
		return
	}
	pid := o.w.program.pid()
	list, err := o.w.api.Load().Systems(ctx)
	if err != nil || pid != o.w.program.pid() {
		return
	}
	for _, s := range list {
		if at, known := told[s.Name]; known && s.Log != nil && s.State == "running" && s.Log.Commit > 0 && at > int64(s.Log.Commit) { //nolint:gosec // a position in a log
			o.fail("nothing is acknowledged early", "the slot of %s was told %X, and the log ends at %X", s.Name, at, s.Log.Commit)
		}
	}
	o.w.count("positions compared")
}

// tables reads what the triggers of both sides found.
func (o *watch) tables(ctx context.Context) {
	for _, s := range o.w.sides {
		s.told(ctx)
	}
}

// states sees that nothing halts that should not, and that what was read is accounted for.
func (o *watch) states(ctx context.Context) {
	before := o.allowedNow()
	routes, err := o.w.api.Load().Routes(ctx)
	if err != nil {
		return
	}
	o.w.left(routes)
	for _, r := range routes {
		if !r.Counts.Balanced() {
			o.fail("what was read is accounted for", "route %s: %+v", r.ID, r.Counts)
		}
		if r.State == ops.RouteHalted || r.State == ops.RouteNeedsSync {
			o.halted("route "+r.ID+" is "+r.State, r.Error, before)
		}
		if r.ID == pushRoute {
			o.w.pushed.counted(r.Counts.Read)
		}
	}
	systems, err := o.w.api.Load().Systems(ctx)
	if err != nil {
		return
	}
	for _, s := range systems {
		if s.State == "halted" {
			o.halted("system "+s.Name+" is halted", s.Error, before)
		}
	}
}

func (o *watch) halted(what string, f *ops.Fault, before map[string]int) {
	if f == nil {
		f = &ops.Fault{Code: "none"}
	}
	o.mu.Lock()
	fine := o.allowed[f.Code] > 0 || before[f.Code] > 0
	o.mu.Unlock()
	if !fine {
		o.fail("nothing halts without need", "%s: %s: %s", what, f.Code, f.Text)
	}
}

// sees records that a reader of a target saw the record, and fails where it goes backwards.
func (o *watch) sees(target, entity, key string, ver int64, val string) {
	if !o.w.plan.proven(entity, key, ver, val) {
		o.fail("nothing is invented", "%s: version %d of %s %s has the value of another record or version", target, ver, entity, key)
	}
	o.mu.Lock()
	at := target + " " + entity + " " + key
	was := o.newest[at]
	o.newest[at] = max(was, ver)
	o.observed[write{entity: entity, key: key, ver: ver}] = true
	o.mu.Unlock()
	if ver < was {
		o.fail("nothing goes backwards", "%s: %s %s was seen at version %d after %d", target, entity, key, ver, was)
	}
}

// forget lets the target go back: it is one that may lose its tail.
func (o *watch) forget(target string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for at := range o.newest {
		if strings.HasPrefix(at, target+" ") {
			delete(o.newest, at)
		}
	}
}

// seen are all versions that readers saw.
func (o *watch) seen() []write {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]write, 0, len(o.observed))
	for w := range o.observed {
		list = append(list, w)
	}
	return list
}

// warehouse reads what anybody could read in the warehouse, and what its triggers found.
func (o *watch) warehouse(ctx context.Context) {
	var entity, key, what string
	switch err := o.w.dst.pool.QueryRow(ctx, `SELECT entity, key, what FROM wrong WHERE NOT torn OR NOT $1 ORDER BY at LIMIT 1`, o.mayTear()).Scan(&entity, &key, &what); {
	case err == nil:
		o.fail("what a target holds is whole and never older", "warehouse: %s %s: %s", entity, key, what)
		return
	case !errors.Is(err, pgx.ErrNoRows):
		return // it is down
	}
	for _, q := range []struct{ target, entity, sql string }{
		{"warehouse", "reg", `SELECT k::text, ver, val FROM reg`},
		{"warehouse", "line", `SELECT id::text || ',' || no::text, ver, val FROM line`},
		{"gold", "reg", `SELECT k::text, ver, val FROM gold`},
	} {
		if q.target == "gold" && !o.w.plan.Shape.Gold {
			continue
		}
		type row struct {
			Key string
			Ver int64
			Val string
		}
		rows, err := o.w.dst.pool.Query(ctx, q.sql)
		var list []row
		if err == nil {
			list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[row])
		}
		if isServerError(err) && !isMissing(err) {
			o.fail("the check itself", "look at the warehouse: %v", err)
		}
		if err != nil {
			return // it is down
		}
		for _, r := range list {
			o.sees(q.target, q.entity, r.Key, r.Ver, r.Val)
		}
	}
	o.w.count("looks at the warehouse")
}

// documents reads the records in Redis and in the bucket. Which crash of a server comes between is seen by its number.
func (o *watch) documents(ctx context.Context) {
	life, tears := o.w.life("cache"), o.mayTear()
	if docs, err := o.w.cache.entries(ctx); err == nil && life == o.w.life("cache") {
		for _, d := range docs {
			o.sees("cache", "reg", d.key(), d.Ver, d.Val)
			if sumOf(d.Big) != d.Sum && !tears && !o.mayTear() {
				o.fail("nothing is invented", "cache: version %d of reg %s is torn: its large value is not that of its sum", d.Ver, d.key())
			}
		}
	}
	life = o.w.life("bus")
	if docs, err := o.w.bus.documents(ctx); err == nil && life == o.w.life("bus") {
		for _, d := range docs {
			o.sees("bus", "line", d.key(), d.Ver, d.Val)
			if wrong := wrongKind(d.Ver, [...]json.RawMessage{d.F8, d.Wide, d.Exact, d.At, d.Note}); wrong != "" {
				o.fail("nothing is invented", "bus: version %d of line %s: %s", d.Ver, d.key(), wrong)
			}
		}
	}
}

// document is a record as Redis and the bucket have it.
type document struct {
	K, ID, No *int
	Ver       int64
	Val, Sum  string
	Large     int64
	Big       string
	// Those of kinds.
	F8, Wide, Exact, At, Note json.RawMessage
}

func (d document) key() string {
	if d.K != nil {
		return fmt.Sprint(*d.K)
	}
	if d.ID == nil || d.No == nil {
		return "?"
	}
	return fmt.Sprintf("%d,%d", *d.ID, *d.No)
}

func parseDocument(text []byte) (document, error) {
	var d document
	err := json.Unmarshal(text, &d)
	return d, err
}
