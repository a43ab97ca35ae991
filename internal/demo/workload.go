package demo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"syncline"
)

// workload is a business at work: it writes to the sources as their applications would, and to nothing else.
//
// What it does next depends on its memory and on what the databases hold, and its memory is written in the transaction of
// each step. A process that dies at any moment is continued by the next one as if nothing had happened: the same ids, the
// same random stream, the same clock.
type workload struct {
	databases map[string]*sql.DB
	memory    memory
	random    *rand.PCG
	made      atomic.Int64
}

// memory is all that the workload must remember.
type memory struct {
	Step int64 `json:"step"`
	// Random is the state of the generator.
	Random []byte `json:"random"`
	// Clock is the business's own time, which passes faster than ours.
	Clock time.Time `json:"clock"`
	// Lead, Order and Product are the last numbers given out.
	Lead    int64 `json:"lead"`
	Order   int64 `json:"order"`
	Product int64 `json:"product"`
}

// opening is when the business begins.
var opening = time.Date(2026, time.January, 5, 8, 0, 0, 0, time.UTC)

// openWorkload opens the sources in the directory and makes their tables. The seed counts where nothing was ever made.
func openWorkload(ctx context.Context, dir string, seed uint64) (w *workload, err error) {
	w = &workload{databases: make(map[string]*sql.DB), random: rand.NewPCG(seed, 0), memory: memory{Clock: opening}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	for _, s := range schemas {
		db, err := openDatabase(ctx, dir, s.system, s.tables+";"+memoryTable)
		if err != nil {
			return w, err
		}
		w.databases[s.system] = db
	}
	return w, w.recall(ctx)
}

// recall takes the latest memory: a step writes it to the one database that it changes.
func (w *workload) recall(ctx context.Context) error {
	for _, s := range schemas {
		var content string
		switch err := w.databases[s.system].QueryRowContext(ctx, "SELECT content FROM demo_memory WHERE step > ?", w.memory.Step).Scan(&content); {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return fmt.Errorf("read the generator's state in %s: %w", s.system, err)
		}
		err := json.Unmarshal([]byte(content), &w.memory)
		if err == nil {
			err = w.random.UnmarshalBinary(w.memory.Random)
		}
		if err != nil {
			return syncline.Errorf(syncline.Fatal, "demo_database", "the generator's state in %s cannot be read: %w", s.system, err).
				WithFix("remove the demo's directory to begin anew, or name another with --dir")
		}
	}
	return nil
}

func (w *workload) close() error {
	var errs []error
	for _, db := range w.databases {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}

// work makes changes, exactly n where n is not 0, until ctx ends. rate is in changes per second; 0 = as fast as it goes.
func (w *workload) work(ctx context.Context, n int64, rate float64) error {
	start := time.Now()
	for made := int64(0); n == 0 || made < n; {
		wait := time.Duration(0)
		if rate > 0 {
			wait = time.Until(start.Add(time.Duration(float64(made) / rate * float64(time.Second))))
		}
		if !pause(ctx, wait) {
			return nil
		}
		left := int64(maxStep)
		if n > 0 {
			left = min(left, n-made)
		}
		// A step that was begun is finished.
		rows, err := w.step(context.WithoutCancel(ctx), left)
		if err != nil {
			return err
		}
		made += rows
		w.made.Add(rows)
	}
	return nil
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// maxStep bounds the rows that one step changes.
const maxStep = 12

// action is something that happens in the business: one transaction on one system. It returns false where the occasion is
// missing.
type action struct {
	system string
	weight int
	do     func(*turn) (bool, error)
}

var actions = []action{
	{"crm", 10, newLead}, {"crm", 14, scoreLead}, {"crm", 8, qualifyLead}, {"crm", 8, convertLead}, {"crm", 4, dropLead}, {"crm", 6, changeCustomer},
	{"shop", 2, newProduct}, {"shop", 5, priceProduct}, {"shop", 1, switchProduct},
	{"shop", 14, placeOrder}, {"shop", 12, payOrder}, {"shop", 10, shipOrder}, {"shop", 8, deliverOrder}, {"shop", 3, cancelOrder}, {"shop", 3, purgeOrder},
	{"wms", 12, receiveStock}, {"wms", 12, reserveStock}, {"wms", 8, issueStock}, {"wms", 5, countStock}, {"wms", 1, clearStock},
	{books, 9, billOrder}, {books, 8, settleInvoice}, {books, 1, voidInvoice},
}

// catalogue is how many products there are before anything else happens.
const catalogue = 8

// step does one thing and returns how many rows it changed, at most limit and at least one.
func (w *workload) step(ctx context.Context, limit int64) (int64, error) {
	r := rand.New(w.random)
	next := action{"shop", 0, newProduct}
	if w.memory.Product >= catalogue {
		next = choose(r)
	}
	rows, err := w.try(ctx, next, r, limit)
	if err == nil && rows == 0 {
		rows, err = w.try(ctx, action{"crm", 0, newLead}, r, limit)
	}
	return rows, err
}

func choose(r *rand.Rand) action {
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	n := r.IntN(total)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			return a
		}
	}
	panic("the weights do not add up")
}

// turn is one action on its way.
type turn struct {
	ctx    context.Context
	w      *workload
	system string
	tx     *sql.Tx
	r      *rand.Rand
	memory memory
	limit  int64
	rows   int64
}

// try carries out an action, and writes down what must be remembered with it.
func (w *workload) try(ctx context.Context, a action, r *rand.Rand, limit int64) (int64, error) {
	tx, err := w.databases[a.system].BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("write to %s: %w", a.system, err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to take back
	t := &turn{ctx: ctx, w: w, system: a.system, tx: tx, r: r, memory: w.memory, limit: limit}
	t.memory.Step++
	t.memory.Clock = t.memory.Clock.Add(time.Duration(1+r.IntN(90)) * time.Second)
	done, err := a.do(t)
	if err != nil {
		return 0, fmt.Errorf("write to %s: %w", a.system, err)
	}
	if !done {
		return 0, nil
	}
	if t.memory.Random, err = w.random.MarshalBinary(); err != nil {
		return 0, err
	}
	content, err := json.Marshal(t.memory)
	if err != nil {
		return 0, err
	}
	if _, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO demo_memory VALUES (1, ?, ?)", t.memory.Step, string(content)); err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return 0, fmt.Errorf("write to %s: %w", a.system, err)
	}
	w.memory = t.memory
	return t.rows, nil
}

// exec changes rows and counts them.
func (t *turn) exec(query string, args ...any) error {
	res, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	t.rows += n
	return err
}

// find reads one row of any of the sources; false where there is none.
func (t *turn) find(system, query string, args []any, into ...any) (bool, error) {
	var row *sql.Row
	if system == t.system {
		row = t.tx.QueryRowContext(t.ctx, query, args...)
	} else {
		row = t.w.databases[system].QueryRowContext(t.ctx, query, args...)
	}
	err := row.Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// now is the business's time as the databases store it.
func (t *turn) now() string { return t.memory.Clock.Format(time.DateTime) }

// number is one of the numbers given out so far.
func (t *turn) number(last int64) int64 { return 1 + t.r.Int64N(max(last, 1)) }

// written returns how many changes of a source were ever recorded for its capture (see package sqlite); of the books, how many were made.
func (w *workload) written(ctx context.Context, system string) (uint64, error) {
	var n uint64
	query := "SELECT seq FROM sqlite_sequence WHERE name = '_syncline_changes'"
	if system == books {
		query = "SELECT coalesce(sum(version), 0) FROM invoice"
	}
	err := w.databases[system].QueryRowContext(ctx, query).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}
