package pgtarget

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"syncline"
)

// way is how the rows of a group get to the table.
type way byte

const (
	// wayArrays: as parameters of the statement.
	wayArrays way = iota
	// wayMerge: copied to a temporary table, from where the statement takes them.
	wayMerge
	// wayRevise: copied to a temporary table, from where an UPDATE takes those that are there, and an upsert the others. An
	// upsert alone would lock each row before it updates it, which costs time and WAL; see BenchmarkApply.
	wayRevise
	// wayDirect: copied into the table itself, where no row is expected to be there yet.
	wayDirect
)

const (
	// defaultCopyMin is the number of rows from which COPY to a temporary table beats arrays; see BenchmarkApply.
	defaultCopyMin = 1000
	// copyBytes is the size from which a group is copied whatever its number of rows: COPY streams.
	copyBytes = 1 << 20
)

// copied reports whether COPY is the better way.
func (g *group) copied(min int) bool { return len(g.members) >= min || g.bytes >= copyBytes }

// choose gives each group its way and its statement. New records go apart from the others where they are many.
func (x *transaction) choose(groups []*group) []*group {
	for _, g := range groups {
		many := g.fresh >= x.t.copyMin || g.fresh == len(g.members) && g.copied(x.t.copyMin)
		if g.kind == kindPut && !g.b.guard && many && g.b.optimism.allowed() {
			groups = append(groups, x.split(g))
		}
	}
	groups = slices.DeleteFunc(groups, func(g *group) bool { return len(g.members) == 0 })
	for _, g := range groups {
		if g.way != wayDirect {
			g.way = g.best(x.t.copyMin)
		}
		if g.way != wayArrays && g.kind != kindInsert {
			x.sort(g.members, g.b)
		}
		g.shape = x.t.shape(g.b, g.kind, g.mask, g.way, nil)
	}
	return groups
}

// sort puts the rows of changes into the order of the key's first column, roughly. Neighbours in a table and in its index are then
// written one after the other, which costs the server less than jumping about, and writers that meet take their locks in one
// order.
func (x *transaction) sort(members []int, b *binding) {
	type place struct {
		key    uint64
		member int
	}
	col := b.cols[b.key[0]].src
	places := make([]place, len(members))
	for i, m := range members {
		places[i] = place{sortKey(x.w.Changes[m].Row.Values[col]), m}
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return a.member - b.member
	})
	for i := range places {
		members[i] = places[i].member
	}
}

// sortKey grows with the value, as far as eight bytes can tell.
func sortKey(v syncline.Value) uint64 {
	if v.Kind() == syncline.KindInt {
		if n, err := v.AsInt(); err == nil {
			return uint64(n) ^ 1<<63
		}
	}
	var first [8]byte
	copy(first[:], v.Bytes())
	return binary.BigEndian.Uint64(first[:])
}

func (g *group) best(copyMin int) way {
	switch {
	case !g.copied(copyMin):
		return wayArrays
	case g.kind == kindInsert:
		return wayDirect
	case g.kind == kindPut && !g.b.guard && g.b.revisable && 2*g.fresh < len(g.members):
		return wayRevise
	}
	return wayMerge
}

// split takes the new records out of the group, to be copied into the table.
func (x *transaction) split(g *group) *group {
	fresh := &group{b: g.b, kind: g.kind, mask: g.mask, object: g.object, way: wayDirect, members: make([]int, 0, g.fresh), fresh: g.fresh}
	known := g.members[:0]
	for _, m := range g.members {
		if x.w.Changes[m].Fresh {
			fresh.members = append(fresh.members, m)
		} else {
			known = append(known, m)
		}
	}
	g.bytes = g.bytes / len(g.members) * len(known)
	g.members, g.fresh = known, 0
	return fresh
}

// revise updates the records that are there and puts the others. Where both together are too few, two keys are one to the
// table: the upsert of all says so.
func (x *transaction) revise(ctx context.Context, g *group) error {
	n := int64(len(g.members))
	for _, k := range []kind{kindUpdate, kindFill, kindPut} {
		x.queue = append(x.queue, request{shape: x.t.shape(g.b, k, g.mask, wayMerge, nil), change: -1, done: func(done int64) error {
			n -= done
			return nil
		}})
		if err := x.flush(ctx); err != nil {
			return err
		}
		if n <= 0 {
			return nil
		}
	}
	return nil
}

// optimism decides whether new records are copied into the table itself. A record that is there after all makes the server
// refuse the copy, and the write is done again; so after each refusal twice as many groups go the safe way as before.
type optimism struct {
	refusals int
	skip     int // groups that still go the safe way
}

// maxRefusals bounds how long the safe way is taken: 64 groups.
const maxRefusals = 6

func (o *optimism) allowed() bool {
	if o.skip > 0 {
		o.skip--
		return false
	}
	return true
}

func (o *optimism) refused() {
	o.skip = 1 << min(o.refusals, maxRefusals)
	o.refusals++
}

func (o *optimism) confirmed() { o.refusals = 0 }

// leastTextual and mostTextual bound how many copies are made as text after one that could not be made in binary.
const (
	leastTextual = 16
	mostTextual  = 1024
)

// binary decides whether the next rows are copied in binary.
func (s *shape) binary() bool {
	if s.textual > 0 {
		s.textual--
		return false
	}
	return s.encoders != nil
}

// unencoded has rows copied as text, each time for twice as long: the write was done in vain, because of a value without a binary form or a
// table that was altered.
func (s *shape) unencoded() {
	s.lastTextual = min(max(2*s.lastTextual, leastTextual), mostTextual)
	s.textual = s.lastTextual
}

// again reports whether the write, which failed with err, is to be done once more without the copy that the server refused, or that
// is not to be made in binary. Whatever the server refused, the upsert says better.
func (x *transaction) again(err error) bool {
	if x.s.conn.IsClosed() {
		return false
	}
	if x.textual != nil {
		x.textual.unencoded()
		return true
	}
	var pg *pgconn.PgError
	if x.refused == nil || !errors.As(err, &pg) {
		return false
	}
	x.refused.optimism.refused()
	return true
}
