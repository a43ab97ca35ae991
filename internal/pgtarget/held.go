package pgtarget

import (
	"context"
	"fmt"
	"strconv"

	"syncline"
)

// hold reads what the target holds of the changes.
func (x *transaction) hold(ctx context.Context, l *looking) error {
	r, tab, err := x.t.reading(ctx, x.s, l.object, l.schema)
	if err != nil {
		return err
	}
	if l.b.read == nil {
		x.t.shapes++
		l.b.read = &shape{name: fmt.Sprintf("_syncline_%d", x.t.shapes), sql: builder{b: l.b, mask: l.b.key}.read(r.list, tab)}
	}
	members := l.members
	if x.recalls(l) {
		if members, err = x.holdUntouched(ctx, l); err != nil || len(members) == 0 {
			return err
		}
	}
	var failed error
	answer := request{shape: l.b.read, change: (&group{members: members}).only(), args: x.columnArgs(l.b, members, l.b.key), formats: r.formats(),
		row: func(texts [][]byte) {
			if failed == nil {
				failed = x.found(l, members, r, texts)
			}
		}}
	x.queue = append(x.queue, answer)
	if err := x.flush(ctx); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	if l.b.shadow == 0 { // the rows are locked by now
		if err := x.holdShadows(ctx, l, l.members, false); err != nil {
			return err
		}
	}
	return x.holdAbsent(ctx, l)
}

// formats asks for all as text but the shadow.
func (r *reading) formats() []int16 {
	list := make([]int16, 3, 3+len(r.col))
	list[2] = 1
	for _, c := range r.col {
		if c != nil {
			list = append(list, 0)
		}
	}
	return list
}

// found takes over a row that is there. What has its shadow with it is decided at once, while the server sends the next.
func (x *transaction) found(l *looking, members []int, r *reading, texts [][]byte) error {
	n, err := strconv.Atoi(string(texts[0]))
	if err != nil || n < 1 || n > len(members) {
		return fmt.Errorf("read %s: row number %q of %d", l.object, texts[0], len(members))
	}
	i := members[n-1]
	d := &x.decided[i]
	if err := d.read(texts[1:], r); err != nil || d.held.Shadow == nil || d.held.Values == nil {
		return err
	}
	return x.decide(l, i)
}

// read takes over a row: its version and its shadow, then the columns.
func (d *deciding) read(texts [][]byte, r *reading) error {
	var err error
	if d.version, err = strconv.ParseInt(string(texts[0]), 10, 64); err != nil {
		return err
	}
	if texts[1] != nil {
		shadow, _ := split(texts[1])
		d.held.Shadow = r.keep(shadow)
	}
	d.held.Values, err = r.row(texts[2:])
	return err
}

// holdShadows reads the shadows of these changes that stand in the shadow table.
func (x *transaction) holdShadows(ctx context.Context, l *looking, members []int, lock bool, also ...request) error {
	keys := make([]syncline.Key, len(members))
	for i, m := range members {
		keys[i] = x.key(m)
		x.decided[m].apart = nil
	}
	shadows, bad := x.readShadows(l.name, keys, lock, func(i int, shadow []byte) {
		d := &x.decided[members[i]]
		d.apart, d.held.Shadow = shadow, shadow
	})
	x.queue = append(append(x.queue, shadows), also...)
	if err := x.flush(ctx); err != nil {
		return err
	}
	return *bad
}

// holdAbsent reads the shadows of records that are not there, or whose row has none, and looks again whether they are there.
func (x *transaction) holdAbsent(ctx context.Context, l *looking) error {
	var absent, bare []int
	for _, m := range l.members {
		switch d := &x.decided[m]; {
		case d.held.Untouched:
		case d.held.Values == nil:
			d.held.Shadow = nil
			absent = append(absent, m)
		case d.held.Shadow == nil && l.b.shadow > 0:
			bare = append(bare, m)
		}
	}
	if len(bare) > 0 {
		if err := x.holdShadows(ctx, l, bare, true); err != nil {
			return err
		}
	}
	if len(absent) == 0 {
		return nil
	}
	appeared := false
	again := &group{b: l.b, members: absent}
	look := request{shape: x.t.shape(l.b, kindStatus, l.b.key, wayArrays, nil), change: -1, args: x.keyArgs(again), row: func([][]byte) { appeared = true }}
	if err := x.holdShadows(ctx, l, absent, true, look); err != nil {
		return err
	}
	if appeared {
		return errMoved
	}
	return nil
}
