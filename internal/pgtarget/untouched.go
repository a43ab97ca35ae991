package pgtarget

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"

	"syncline"
)

// A row's shadow ends with a tag: which transaction wrote it, in which cluster. Where that is the transaction that made the row as it is, nobody
// has written the row since, and it need not be read: what it holds was decided. That saves a good part of what a decision costs. The cluster
// tells a row from its copy: of one that was restored from a dump all rows were written by one transaction, whatever was done to them before.

// tagSize is the length of a tag.
const tagSize = 8

// appendTag appends six bits to a byte, as characters that COPY hardly ever escapes.
func appendTag(dst []byte, cluster uint16, xid uint32) []byte {
	all := uint64(cluster)<<32 | uint64(xid)
	for range tagSize {
		dst = append(dst, '@'+byte(all&63))
		all >>= 6
	}
	return dst
}

// split cuts the shadow of a row from its tag.
func split(stored []byte) (shadow, tag []byte) {
	if len(stored) < tagSize {
		return stored, nil
	}
	at := len(stored) - tagSize
	return stored[:at:at], stored[at:]
}

// findCluster asks which cluster this is. One that does not tell has no untouched rows.
func (s *session) findCluster(ctx context.Context) {
	var id string
	if err := s.conn.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&id); err != nil {
		return
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	s.cluster = uint16(h.Sum32()) | 1
}

// queueXID asks for the transaction's own id, which rows are tagged with.
func (x *transaction) queueXID() {
	if x.s.cluster == 0 {
		return
	}
	x.queue = append(x.queue, request{shape: &shape{name: "_syncline_xid", sql: "SELECT pg_current_xact_id()::xid"}, change: -1, formats: []int16{1}, row: func(v [][]byte) {
		if len(v[0]) == 4 {
			x.xid = binary.BigEndian.Uint32(v[0])
		}
	}})
}

// recalls reports whether it is worth while to look for untouched rows. What a trigger of the table's owner makes of them is not known; where most
// records are new, most rows are not there.
func (x *transaction) recalls(l *looking) bool {
	if !x.w.Recalls || l.b.shadow == 0 || l.b.table.triggers || x.s.cluster == 0 {
		return false
	}
	fresh := 0
	for _, m := range l.members {
		if x.w.Changes[m].Fresh {
			fresh++
		}
	}
	return 2*fresh < len(l.members) || fresh == 0
}

// holdUntouched decides about the rows that nobody has touched, and returns the members that must be read.
func (x *transaction) holdUntouched(ctx context.Context, l *looking) ([]int, error) {
	if l.b.peek == nil {
		x.t.shapes++
		l.b.peek = &shape{name: fmt.Sprintf("_syncline_%d", x.t.shapes), sql: builder{b: l.b, mask: l.b.key}.peek()}
	}
	var failed error
	x.queue = append(x.queue, request{shape: l.b.peek, change: (&group{members: l.members}).only(), args: x.columnArgs(l.b, l.members, l.b.key), formats: []int16{1, 1, 1},
		row: func(v [][]byte) {
			if failed == nil {
				failed = x.peeked(l, v)
			}
		}})
	if err := errors.Join(x.flush(ctx), failed); err != nil {
		return nil, err
	}
	var unread []int
	for _, m := range l.members {
		if !x.decided[m].done {
			unread = append(unread, m)
		}
	}
	return unread, nil
}

// peeked takes over the place, the version and the shadow of a row that is there.
func (x *transaction) peeked(l *looking, v [][]byte) error {
	if len(v[0]) != 8 || len(v[1]) != 4 {
		return fmt.Errorf("read %s: a place of %d bytes, a version of %d", l.object, len(v[0]), len(v[1]))
	}
	n, xmin := binary.BigEndian.Uint64(v[0]), binary.BigEndian.Uint32(v[1])
	if n < 1 || n > uint64(len(l.members)) {
		return fmt.Errorf("read %s: row number %d of %d", l.object, n, len(l.members))
	}
	shadow, tag := split(v[2])
	var own [tagSize]byte
	if string(tag) != string(appendTag(own[:0], x.s.cluster, xmin)) {
		return nil
	}
	i := l.members[n-1]
	d := &x.decided[i]
	d.version, d.held = int64(xmin), syncline.Held{Shadow: x.keep(shadow), Untouched: true}
	err := x.decide(l, i)
	if errors.Is(err, syncline.ErrUnread) {
		d.held, err = syncline.Held{}, nil
	}
	return err
}

// keep copies what is valid only for now, into blocks of many.
func (x *transaction) keep(b []byte) []byte {
	start := x.room(len(b))
	x.block = append(x.block, b...)
	return x.block[start:len(x.block):len(x.block)]
}

// tagged is the shadow as a row has it, with no transaction's tag where the row must be read all the same.
func (x *transaction) tagged(shadow []byte, recallable bool) []byte {
	xid := x.xid
	if !recallable {
		xid = 0
	}
	start := x.room(len(shadow) + tagSize)
	x.block = appendTag(append(x.block, shadow...), x.s.cluster, xid)
	return x.block[start:len(x.block):len(x.block)]
}

// places returns room for a row, out of that for many.
func (x *transaction) places(n int) []syncline.Value {
	if len(x.values) < n {
		x.values = make([]syncline.Value, n*rowBlock)
	}
	out := x.values[:n:n]
	x.values = x.values[n:]
	return out
}

// room makes sure of space in the block and returns where it begins.
func (x *transaction) room(n int) int {
	if cap(x.block)-len(x.block) < n {
		x.block = make([]byte, 0, max(n, min(2*cap(x.block)+512, textBlock)))
	}
	return len(x.block)
}
