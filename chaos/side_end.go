package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// told fails where the trigger of a side saw what must not be.
func (s *side) told(ctx context.Context) {
	var key, what string
	if err := s.db.pool.QueryRow(ctx, `SELECT key, what FROM wrong ORDER BY at LIMIT 1`).Scan(&key, &what); err == nil {
		s.w.watch.fail("each side gets what the other one wrote, once and in order", "%s: key %s: %s", s.name, key, what)
	}
}

// sidesDiffer compares both sides with each other, and with what their users did. Nobody writes.
func (w *world) sidesDiffer(ctx context.Context) error {
	if len(w.sides) == 0 {
		return nil
	}
	// Numbers are one where their amount is: a rule brings no -0 where 0 is.
	columns := "k, ver, val, changed, east_ver, east_val, west_ver, west_val, n" + strings.Replace(kindColumns(false), "f8", "f8 + 0", 1)
	var held [2][]string
	for i, s := range w.sides {
		var err error
		if held[i], err = column[string](ctx, s.db, `SELECT (ROW(`+columns+`))::text FROM pair ORDER BY k`); err != nil {
			return err
		}
	}
	if diff := cmp.Diff(held[0], held[1]); diff != "" {
		return fmt.Errorf("the two sides (-east +west):\n%.3000s", diff)
	}
	return w.sidesWrong(ctx)
}

// sidesWrong compares what both sides hold with what their users did.
func (w *world) sidesWrong(ctx context.Context) error {
	// newest is the last version of each key that was committed, by what it is of: pair, or the half of a side; 0 = it was deleted. sums are of
	// what was added.
	newest, sums := make(map[string]map[int]int64), make(map[int]int64)
	for _, s := range w.sides {
		for _, one := range s.journal.all() {
			k, err := strconv.Atoi(one.key)
			if err != nil {
				return err
			}
			if newest[one.entity] == nil {
				newest[one.entity] = make(map[int]int64)
			}
			at := one.ver
			if one.gone {
				at = -one.ver
			}
			if was := newest[one.entity][k]; max(was, -was) < one.ver {
				newest[one.entity][k] = at
			}
			if one.entity != "pair" {
				sums[k] += addend(one.ver)
			}
		}
	}
	type row struct {
		K                int
		Ver              int64
		EastVer, WestVer *int64
		N                int64
	}
	rows, err := w.sides[0].db.pool.Query(ctx, `SELECT k, ver, east_ver, west_ver, n FROM pair ORDER BY k`)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return err
	}
	have := make(map[int]bool)
	for _, r := range list {
		have[r.K] = true
		if want := max(0, newest["pair"][r.K]); !fickle(r.K) && r.Ver != want {
			return fmt.Errorf("both sides have key %d at version %d, and the newest one is %d (0 = deleted)", r.K, r.Ver, want)
		}
		if r.K < sharedFrom {
			continue
		}
		for half, ver := range map[string]*int64{"east": r.EastVer, "west": r.WestVer} {
			if want, got := newest[half][r.K], deref(ver); got != want {
				return fmt.Errorf("both sides have the %s half of key %d at version %d, and the newest one is %d", half, r.K, got, want)
			}
		}
		if r.N != sums[r.K] {
			return fmt.Errorf("both sides have the number %d at key %d, and what was added is %d", r.N, r.K, sums[r.K])
		}
	}
	for k, ver := range newest["pair"] {
		if ver > 0 && !have[k] && !fickle(k) {
			return fmt.Errorf("neither side has key %d, whose newest version is %d", k, ver)
		}
	}
	return nil
}

// fickle reports whether the key is one that both sides delete.
func fickle(k int) bool { return k >= fickleFrom && k < sharedFrom }

func deref(v *int64) int64 {
	if v == nil {
		return 0
	}
	return *v
}

// sidesAtPeace sees that nothing of what was on either side was invented, that each change went to the other side once at the most, and that nothing moves.
func (w *world) sidesAtPeace(ctx context.Context) error {
	if len(w.sides) == 0 {
		return nil
	}
	var counts [2][2]int // by side: what the program wrote, and what users did
	for i, s := range w.sides {
		s.told(ctx)
		if err := s.invented(ctx); err != nil {
			return err
		}
		if err := s.db.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE NOT users), count(*) FILTER (WHERE users) FROM story`).Scan(&counts[i][0], &counts[i][1]); err != nil {
			return err
		}
	}
	for i, s := range w.sides {
		w.add("changes of users on both sides", counts[i][1])
		w.add("changes brought to the other side", counts[i][0])
		if got, most := counts[i][0], counts[1-i][1]; got > most {
			w.watch.fail("nothing goes to and fro", "%s was written %d times by the program, and %s has had %d changes", s.name, got, s.other().name, most)
		}
	}
	if err := sleep(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	for i, s := range w.sides {
		var now int
		if err := s.db.pool.QueryRow(ctx, `SELECT count(*) FROM story`).Scan(&now); err != nil {
			return err
		}
		if was := counts[i][0] + counts[i][1]; now != was {
			w.watch.fail("nothing goes to and fro", "%d changes came to %s when nobody wrote any more", now-was, s.name)
		}
	}
	return nil
}

// invented sees that every version that the side ever had was committed on one of both.
func (s *side) invented(ctx context.Context) error {
	seen, err := s.db.pool.Query(ctx, `SELECT DISTINCT k::text, ver, 'pair' FROM story UNION SELECT DISTINCT k::text, east_ver, 'east' FROM story WHERE east_ver IS NOT NULL
		UNION SELECT DISTINCT k::text, west_ver, 'west' FROM story WHERE west_ver IS NOT NULL`)
	if err != nil {
		return err
	}
	var x write
	_, err = pgx.ForEachRow(seen, []any{&x.key, &x.ver, &x.entity}, func() error {
		why := s.journal.why(x.entity, x.key, x.ver)
		if why != "" && s.other().journal.why(x.entity, x.key, x.ver) != "" {
			s.w.watch.fail("nothing is invented", "%s, and was on %s", why, s.name)
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

var errStop = errors.New("enough")

// touchSides changes a record of each side, and a contested one.
func (w *world) touchSides(ctx context.Context) error {
	for _, s := range w.sides {
		if err := w.eventually(ctx, patience, s.touch); err != nil {
			return fmt.Errorf("write the last records of %s: %w", s.name, err)
		}
		if err := s.journal.resolve(ctx, s.db); err != nil {
			return err
		}
	}
	return nil
}

// touch fails where a connection that the pool had was cut.
func (s *side) touch(ctx context.Context) error {
	id := s.tx.Add(1)
	t := &sideTxn{s: s}
	o, err := transact(ctx, s.users, func(tx pgx.Tx) error {
		t.tx = tx
		for _, k := range []int{s.number * ownKeys, contestedFrom} {
			if err := t.put(ctx, k); err != nil {
				return err
			}
		}
		return t.trail(ctx, id)
	})
	s.journal.note(id, t.writes, nil, o)
	switch {
	case err != nil:
		return err
	case o != committed:
		return errors.New("they were not committed")
	}
	s.touched = t.writes[0].ver
	return nil
}

// sidesReached tells whose last record is not on the other side.
func (w *world) sidesReached(ctx context.Context) error {
	for _, s := range w.sides {
		var ver int64
		err := s.other().db.pool.QueryRow(ctx, `SELECT coalesce(max(ver), 0) FROM pair WHERE k = $1`, s.number*ownKeys).Scan(&ver)
		if err == nil && ver < s.touched {
			err = fmt.Errorf("the last record of %s is not on the other side, which has version %d of it, and not %d", s.name, ver, s.touched)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resolveSides asks both about commits without an answer.
func (w *world) resolveSides(ctx context.Context) error {
	for _, s := range w.sides {
		if err := s.journal.resolve(ctx, s.db); err != nil {
			return err
		}
	}
	return nil
}

// freeSlots drops the slots of both, which go with a log that is gone.
func (w *world) freeSlots(ctx context.Context) error {
	for _, s := range w.sides {
		if err := s.db.free(ctx, w, "syncline_"+s.name); err != nil {
			return err
		}
		if err := s.db.exec(ctx, fmt.Sprintf(`SELECT pg_drop_replication_slot('syncline_%s')`, s.name)); err != nil {
			return err
		}
	}
	return nil
}
