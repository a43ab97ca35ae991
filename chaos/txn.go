package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// txn is one transaction of a writer and what it has done.
type txn struct {
	ws      *writers
	rnd     *rand.Rand
	tx      pgx.Tx
	id      int64
	writes  []write
	dropped []write // by savepoints
	slow    bool    // it is open for long, and must lock nothing that others need
}

// do does a few changes, and writes the row that tells of the transaction.
func (t *txn) do(ctx context.Context) error {
	if t.slow {
		return t.slowly(ctx)
	}
	n := 1 + t.rnd.IntN(4)
	if t.rnd.IntN(60) == 0 {
		n = 50 + t.rnd.IntN(200)
	}
	// Whoever holds a key's lock takes its next version, so that versions of a key rise in commit order. All keys of the transaction are
	// locked at once and in order: writers wait for each other, and do not kill each other.
	keys := make([]int, 0, 2*n)
	for range 2 * n {
		keys = append(keys, t.rnd.IntN(t.ws.w.plan.Shape.Rows))
	}
	if err := t.lock(ctx, keys); err != nil {
		return err
	}
	if t.rnd.IntN(6) == 0 {
		if err := t.putDeal(ctx, t.rnd.IntN(dealKeys)); err != nil {
			return err
		}
	}
	for i := range n {
		if t.rnd.IntN(10) > 0 {
			if err := t.change(ctx, keys[2*i], keys[2*i+1]); err != nil {
				return err
			}
			continue
		}
		if err := t.maybe(ctx, keys[2*i], keys[2*i+1]); err != nil {
			return err
		}
	}
	return t.trail(ctx)
}

// slowly does what the slow writer does: changes to records of its own, with a while between them. When it commits, others have committed before
// it what they have written after its first change.
func (t *txn) slowly(ctx context.Context) error {
	first := t.ws.w.plan.Shape.Rows
	steps := make([]func(context.Context) error, 2+t.rnd.IntN(3))
	for i := range steps {
		steps[i] = func(ctx context.Context) error {
			return t.change(ctx, first+t.rnd.IntN(slowKeys), first+t.rnd.IntN(slowKeys))
		}
	}
	steps[t.rnd.IntN(len(steps))] = t.trail
	for i, do := range steps {
		if i > 0 {
			if err := sleep(ctx, time.Duration(10+t.rnd.IntN(200))*time.Millisecond); err != nil {
				return err
			}
		}
		if err := do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// maybe changes something below a savepoint, which is taken back half the time.
func (t *txn) maybe(ctx context.Context, k, to int) error {
	if _, err := t.tx.Exec(ctx, "SAVEPOINT s"); err != nil {
		return err
	}
	mark := len(t.writes)
	if err := t.change(ctx, k, to); err != nil {
		return err
	}
	end := "RELEASE SAVEPOINT s"
	if t.rnd.IntN(2) == 0 {
		end = "ROLLBACK TO SAVEPOINT s"
		t.dropped = append(t.dropped, t.writes[mark:]...)
		t.writes = t.writes[:mark]
	}
	_, err := t.tx.Exec(ctx, end)
	return err
}

func (t *txn) lock(ctx context.Context, keys []int) error {
	sorted := slices.Compact(slices.Sorted(slices.Values(keys)))
	_, err := t.tx.Exec(ctx, `SELECT pg_advisory_xact_lock(k) FROM (SELECT unnest($1::int[]) AS k ORDER BY 1) keys`, sorted)
	return err
}

// change does one thing to the record k, or to it and another one.
func (t *txn) change(ctx context.Context, k, to int) error {
	s := t.ws.w.plan.Shape
	bad := min(k, to) < badKeys
	switch n := t.rnd.IntN(100); {
	case n < 8:
		return t.deleteReg(ctx, k)
	case n < 14 && !bad && k != to:
		return t.move(ctx, k, to)
	case n < 20 && !bad && k != to:
		return t.swap(ctx, k, to)
	case n < 45:
		return t.insertReg(ctx, k, true)
	case n < 70:
		return t.updateReg(ctx, k)
	case n < 71 && s.Truncate && !t.slow && t.rnd.IntN(4) == 0:
		_, err := t.tx.Exec(ctx, `TRUNCATE line`)
		return err
	case n < 80:
		return t.deleteLine(ctx, k)
	default:
		return t.putLine(ctx, k)
	}
}

// next is a new version of the record, with what proves it.
func (t *txn) next(entity, key string) (ver int64, val string) {
	ver = t.ws.version.Add(1)
	t.writes = append(t.writes, write{entity: entity, key: key, ver: ver})
	return ver, t.ws.w.plan.proof(entity, key, ver)
}

// undo forgets the last version: nothing was there to be written.
func (t *txn) undo(n int64) {
	if n == 0 {
		t.dropped = append(t.dropped, t.writes[len(t.writes)-1])
		t.writes = t.writes[:len(t.writes)-1]
	}
}

// plant makes the val of some of the first records one that the warehouse refuses.
func (t *txn) plant(k int, val string) string {
	if k < badKeys && t.rnd != nil && t.rnd.IntN(t.ws.w.plan.Shape.Bad) == 0 {
		t.ws.w.count("bad records")
		return badMark + val
	}
	return val
}

// insertReg writes a record whole, whether it is there or not.
func (t *txn) insertReg(ctx context.Context, k int, over bool) error {
	ver, val := t.next("reg", fmt.Sprint(k))
	large := t.ws.larges.Add(1)
	big, sum := t.ws.w.plan.large(large)
	sql := `INSERT INTO reg (k, ver, val, tier, large, sum, big) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	if over {
		sql += ` ON CONFLICT (k) DO UPDATE SET ver = EXCLUDED.ver, val = EXCLUDED.val, tier = EXCLUDED.tier, large = EXCLUDED.large, sum = EXCLUDED.sum, big = EXCLUDED.big`
	}
	_, err := t.tx.Exec(ctx, sql, k, ver, t.plant(k, val), tier(val), large, sum, big)
	return err
}

// updateReg leaves the large value as it is, so that it is not sent; and writes an extra column or the code at times.
func (t *txn) updateReg(ctx context.Context, k int) error {
	ver, val := t.next("reg", fmt.Sprint(k))
	set := ""
	if extras := t.ws.columns(); len(extras) > 0 && t.rnd.IntN(3) == 0 {
		set = ", " + extras[t.rnd.IntN(len(extras))] + " = 'written'"
	}
	if k >= badKeys && t.rnd.IntN(6) == 0 {
		set += fmt.Sprintf(", code = 'c%d'", ver)
	}
	tag, err := t.tx.Exec(ctx, `UPDATE reg SET ver = $2, val = $3, tier = $4`+set+` WHERE k = $1`, k, ver, t.plant(k, val), tier(val))
	t.undo(tag.RowsAffected())
	return err
}

// deleteReg takes a version, too, which says when the record was deleted.
func (t *txn) deleteReg(ctx context.Context, k int) error {
	t.next("reg", fmt.Sprint(k))
	t.writes[len(t.writes)-1].gone = true
	tag, err := t.tx.Exec(ctx, `DELETE FROM reg WHERE k = $1`, k)
	t.undo(tag.RowsAffected())
	return err
}

// move takes the record k to another key, where none is.
func (t *txn) move(ctx context.Context, k, to int) error {
	ver, val := t.next("reg", fmt.Sprint(to))
	tag, err := t.tx.Exec(ctx, `UPDATE reg SET k = $1::int, ver = $2, val = $3, tier = $4 WHERE k = $5 AND NOT EXISTS (SELECT FROM reg WHERE k = $1::int)`,
		to, ver, val, tier(val), k)
	t.undo(tag.RowsAffected())
	return err
}

// swap lets two records exchange their codes, which are unique. Where one has none or is missing, the other one gives its away.
func (t *txn) swap(ctx context.Context, k, to int) error {
	rows, err := t.tx.Query(ctx, `SELECT k, code FROM reg WHERE k IN ($1, $2)`, k, to)
	if err != nil {
		return err
	}
	type coded struct {
		K    int
		Code *string
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[coded])
	if err != nil || len(list) < 2 {
		return err
	}
	slices.SortFunc(list, func(a, b coded) int { return cmp.Compare(a.K, b.K) })
	for _, step := range []coded{{list[0].K, nil}, {list[1].K, list[0].Code}, {list[0].K, list[1].Code}} {
		ver, val := t.next("reg", fmt.Sprint(step.K))
		if _, err := t.tx.Exec(ctx, `UPDATE reg SET code = $2, ver = $3, val = $4, tier = $5 WHERE k = $1`, step.K, step.Code, ver, val, tier(val)); err != nil {
			return err
		}
	}
	return nil
}

// lineOf is a line that shares its lock with the record k.
func (t *txn) lineOf(k int) (id, no int) {
	return k % t.ws.w.plan.Shape.Orders, k / t.ws.w.plan.Shape.Orders
}

func (t *txn) putLine(ctx context.Context, k int) error {
	id, no := t.lineOf(k)
	return t.writeLine(ctx, id, no)
}

func (t *txn) writeLine(ctx context.Context, id, no int) error {
	ver, val := t.next("line", fmt.Sprintf("%d,%d", id, no))
	args, into, values, set := []any{id, no, ver, val}, "id, no, ver, val", "$1, $2, $3, $4", "ver = EXCLUDED.ver, val = EXCLUDED.val"
	for i, k := range kinds {
		value, _ := kindOf(i, ver)
		args = append(args, value)
		into += ", " + k.column
		values += fmt.Sprintf(", $%d::text::%s", len(args), k.kind)
		set += fmt.Sprintf(", %s = EXCLUDED.%[1]s", k.column)
	}
	_, err := t.tx.Exec(ctx, `INSERT INTO line (`+into+`) VALUES (`+values+`) ON CONFLICT (id, no) DO UPDATE SET `+set, args...)
	return err
}

func (t *txn) deleteLine(ctx context.Context, k int) error {
	id, no := t.lineOf(k)
	_, err := t.tx.Exec(ctx, `DELETE FROM line WHERE id = $1 AND no = $2`, id, no)
	return err
}

// trail writes the row that tells that the transaction was committed.
func (t *txn) trail(ctx context.Context) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO trail VALUES ($1, $2)`, t.id, fmt.Sprintf("%d changes", len(t.writes)))
	return err
}
