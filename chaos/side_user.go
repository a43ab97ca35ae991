package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// sideTxn is one transaction of a user of a side, and what it has done.
type sideTxn struct {
	s      *side
	tx     pgx.Tx
	writes []write
}

// fill writes the records that are there before the program: contested and shared ones are made on the first side, and nobody deletes them.
func (s *side) fill(ctx context.Context) error {
	id := s.tx.Add(1)
	t := &sideTxn{s: s}
	o, err := transact(ctx, s.users, func(tx pgx.Tx) error {
		t.tx = tx
		keys := make([]int, ownKeys/2)
		for i := range keys {
			keys[i] = s.number*ownKeys + i
		}
		if s.number == 0 {
			for i := range contestedKeys {
				keys = append(keys, contestedFrom+i)
			}
			for i := range sharedKeys {
				keys = append(keys, sharedFrom+i)
			}
		}
		for _, k := range keys {
			if err := t.put(ctx, k); err != nil {
				return err
			}
		}
		return t.trail(ctx, id)
	})
	s.journal.note(id, t.writes, nil, o)
	if err == nil && o != committed {
		err = fmt.Errorf("the first records of %s were not committed", s.name)
	}
	return err
}

// work does one transaction after the other.
func (s *side) work(ctx context.Context, rnd *rand.Rand) {
	for ctx.Err() == nil && !s.w.watch.over() {
		s.w.writers.wait(ctx)
		if err := s.once(rnd); err != nil {
			s.w.watch.fail("writer", "a user of %s: %v", s.name, err)
			return
		}
		_ = sleep(ctx, time.Duration(rnd.Int64N(int64(2*s.w.plan.Shape.Sides.Pause)+1)))
	}
}

// once does one transaction, which a stop does not cut off.
func (s *side) once(rnd *rand.Rand) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n := 1 + rnd.IntN(3)
	if rnd.IntN(50) == 0 {
		n = 30
	}
	keys := make([]int, n)
	for i := range keys {
		keys[i] = s.draw(rnd)
	}
	keys = slices.Compact(slices.Sorted(slices.Values(keys))) // in order: users wait for each other, and do not kill each other
	id := s.tx.Add(1)
	t := &sideTxn{s: s}
	o, err := transact(ctx, s.users, func(tx pgx.Tx) error {
		t.tx, t.writes = tx, nil
		for _, k := range keys {
			if err := t.change(ctx, rnd, k); err != nil {
				return err
			}
		}
		if err := t.trail(ctx, id); err != nil {
			return err
		}
		return takenBack(rnd)
	})
	s.journal.note(id, t.writes, nil, o)
	return err
}

// draw chooses a key: mostly one of the side's own.
func (s *side) draw(rnd *rand.Rand) int {
	switch n := rnd.IntN(20); {
	case n < 2:
		return contestedFrom + rnd.IntN(contestedKeys)
	case n < 3:
		return fickleFrom + rnd.IntN(fickleKeys)
	case n < 5:
		return sharedFrom + rnd.IntN(sharedKeys)
	}
	return s.number*ownKeys + rnd.IntN(ownKeys)
}

// change does one thing to the record. Whoever holds its lock takes its next version: so the versions of a key rise in the order of commits, and, where the
// record is there and stays, above all that the other side has sent.
func (t *sideTxn) change(ctx context.Context, rnd *rand.Rand, k int) error {
	if _, err := t.tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, k); err != nil {
		return err
	}
	tag, err := t.tx.Exec(ctx, `SELECT FROM pair WHERE k = $1 FOR UPDATE`, k)
	if err != nil {
		return err
	}
	there := tag.RowsAffected() > 0
	switch {
	case k >= sharedFrom && there:
		return t.share(ctx, k)
	case (k >= sharedFrom || k >= contestedFrom && k < fickleFrom) && !there:
		return nil // it has not come yet
	case k >= contestedFrom && k < fickleFrom, rnd.IntN(6) > 0:
		return t.put(ctx, k)
	case there:
		return t.remove(ctx, k)
	}
	return nil
}

func (t *sideTxn) next(entity string, k int) (ver int64, val string) {
	ver = t.s.w.writers.version.Add(1)
	key := fmt.Sprint(k)
	t.writes = append(t.writes, write{entity: entity, key: key, ver: ver})
	return ver, t.s.w.plan.proof(entity, key, ver)
}

// put writes a record whole. The time of its change follows from its version: the newer one is the later one.
func (t *sideTxn) put(ctx context.Context, key int) error {
	ver, val := t.next("pair", key)
	args, into, values, set := []any{key, ver, val}, "k, ver, val, changed", `$1, $2::bigint, $3, timestamptz '2024-01-01 00:00:00+00' + $2::bigint * interval '1 microsecond'`,
		"ver = EXCLUDED.ver, val = EXCLUDED.val, changed = EXCLUDED.changed"
	for i, k := range kinds {
		value, _ := kindOf(i, ver)
		if key >= contestedFrom {
			value = nil // a value that both versions have was changed by neither, so that another one of the other side's may stand beside it
		}
		args = append(args, value)
		into += ", " + k.column
		values += fmt.Sprintf(", $%d::text::%s", len(args), k.kind)
		set += fmt.Sprintf(", %s = EXCLUDED.%[1]s", k.column)
	}
	_, err := t.tx.Exec(ctx, `INSERT INTO pair (`+into+`) VALUES (`+values+`) ON CONFLICT (k) DO UPDATE SET `+set, args...)
	return err
}

func (t *sideTxn) remove(ctx context.Context, k int) error {
	t.next("pair", k)
	t.writes[len(t.writes)-1].gone = true
	_, err := t.tx.Exec(ctx, `DELETE FROM pair WHERE k = $1`, k)
	return err
}

// share writes the side's half of a record, and adds to the number that both sides add to.
func (t *sideTxn) share(ctx context.Context, k int) error {
	name := t.s.name
	ver, val := t.next(name, k)
	_, err := t.tx.Exec(ctx, fmt.Sprintf(`UPDATE pair SET %s_ver = $2, %[1]s_val = $3, n = n + $4 WHERE k = $1`, name), k, ver, val, addend(ver))
	return err
}

// addend is what a version adds to the number.
func addend(ver int64) int64 { return ver%9 - 4 }

func (t *sideTxn) trail(ctx context.Context, id int64) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO trail VALUES ($1, $2)`, id, fmt.Sprintf("%d changes", len(t.writes)))
	return err
}
