package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Two databases, one at each server, with a table that both write, and a two-way rule between them. Everything that happens to the servers, the
// network between, and the program happens to it, too. Whose keys are whose:
//
//   - most are written on one side alone, their home: what the other side has of them never goes back, and nobody writes them at home but its users;
//   - a few are contested: both sides write all that differs in them, and in the end the newest version is on both, which is the one with the latest time;
//   - a few are fickle: both sides write and delete them, so that no order of versions is promised; what is there was written, and is whole;
//   - a few are shared: each side writes fields of its own, and both add to a number. No change of either is lost, and none is counted twice.
//
// side_table.go has what a trigger sees with each write, side_user.go who writes, side_end.go what is looked at in the end.
const (
	ownKeys       = 60 // of each side, the first side's first
	contestedFrom = 1000
	contestedKeys = 8
	fickleFrom    = 2000
	fickleKeys    = 6
	sharedFrom    = 3000
	sharedKeys    = 6
)

// sideUser is the name by which a server knows connections of those who write a side, and sideUsers how many work on each.
const (
	sideUser  = "chaos-users"
	sideUsers = 2
)

// sidesShape is what the two-way rule of a plan is like.
type sidesShape struct {
	On bool
	// Follow has a TRUNCATE followed, and with it every deletion that nobody has heard of.
	Follow bool
	// DeletedWins is what becomes of a record that one side deleted and the other one changed.
	DeletedWins bool
	Batch       int
	Pause       time.Duration // of a user between two transactions
}

// makeSides has a randomness of its own, so that it changes nothing else of a plan.
func makeSides(seed uint64) sidesShape {
	rnd := rand.New(rand.NewPCG(seed, 0x51de5))
	return sidesShape{On: rnd.IntN(4) > 0, Follow: rnd.IntN(2) == 0, DeletedWins: rnd.IntN(3) == 0, Batch: []int{5, 100, 1000}[rnd.IntN(3)],
		Pause: time.Duration(5+rnd.IntN(40)) * time.Millisecond}
}

// side is one of the two.
type side struct {
	w      *world
	number int    // 0 or 1
	name   string // of its system, and of its database
	server string // whose database it is
	db     *postgres
	// users is the pool of those who write it, through the proxy of the server.
	users   *pgxpool.Pool
	journal *journal // of what they did
	tx      atomic.Int64
	touched int64 // the version of its last record
}

// other is the side on the other side.
func (s *side) other() *side { return s.w.sides[1-s.number] }

// route is that of what changes on this side.
func (s *side) route() string { return "pair@" + s.name }

func (s *side) close() {
	if s.users != nil {
		s.users.Close()
	}
	s.db.pool.Close()
}

// openSides makes both databases with their tables, and the records that are there before the program.
func (w *world) openSides(ctx context.Context) error {
	if !w.plan.Shape.Sides.On {
		return nil
	}
	for i, s := range []*side{{name: "east", server: "src"}, {name: "west", server: "dst"}} {
		s.w, s.number, s.journal = w, i, newJournal()
		s.db = &postgres{server: w.database(s.server).server}
		if err := s.db.create(ctx, s.name); err != nil {
			return err
		}
		w.sides = append(w.sides, s)
		through := map[string]string{"src": "writers", "dst": "users"}[s.server]
		var err error
		if s.users, err = pgxpool.New(ctx, fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable&pool_max_conns=4&application_name=%s", w.net.port(through), s.name, sideUser)); err != nil {
			return err
		}
	}
	for _, s := range w.sides {
		if err := s.makeTable(ctx); err != nil {
			return err
		}
		if err := s.fill(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sidesYAML is what the configuration has of them.
func (w *world) sidesYAML() (systems, rules string) {
	if len(w.sides) == 0 {
		return "", ""
	}
	for _, s := range w.sides {
		systems += fmt.Sprintf("  %s: {type: postgres, url: \"${%s_URL}\", capture: {manage: true, heartbeat: 1s, entities: {pair: {table: pair}}}}\n", s.name, strings.ToUpper(s.name))
	}
	shape := w.plan.Shape.Sides
	truncated, deleted := "halt", "loses"
	if shape.Follow {
		truncated = "delete"
	}
	if shape.DeletedWins {
		deleted = "wins"
	}
	return systems, fmt.Sprintf(`  - id: pair
    between: [east/pair, west/pair]
    conflict: {strategy: last_write_wins, time_field: changed, fields: {n: sum}, deleted: %s}
    on: {truncated: %s}
    retry: {max: 1000, delay: 10ms, max_delay: 500ms}
    batch: {max_rows: %d}
`, deleted, truncated, shape.Batch)
}

// isLane reports whether the route is one of a two-way rule, whose target holds no place in a log that could be lost.
func isLane(id string) bool { return strings.Contains(id, "@") }
