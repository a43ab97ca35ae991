package pgtarget

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"

	"syncline"
)

// notOfType reports whether the server says that the bytes of a field are not those of the column's type: too few, too many, no text.
func notOfType(err error) bool {
	return isCode(err, "08P01") || isCode(err, "22P03") || isCode(err, "22021")
}

// copy sends the rows of a group to its temporary table or to the table itself.
func (x *transaction) copy(ctx context.Context, g *group) error {
	r, sql := &copyReader{g: g, x: x}, g.shape.copy
	if g.binary = g.shape.binary(); g.binary {
		r.rest, sql = binaryHeader, sql+" (FORMAT binary)"
	}
	_, err := x.s.pg.CopyFrom(ctx, r, sql)
	if err == nil {
		return nil
	}
	switch {
	case r.err != nil || g.binary && notOfType(err): // the table was altered, perhaps: see queueTypes
		x.textual = g.shape
	case g.way == wayDirect && g.kind == kindPut:
		x.refused = g.b
	}
	return &requestError{change: g.only(), err: err}
}

// errRetyped: the table's columns have other types than when it was last looked at.
var errRetyped = errors.New("the types of the table's columns are other ones by now")

// queueTypes asks, once rows were copied in binary into the table itself, whether it has the types that they were encoded for: somebody may have
// altered it since it was looked at, and eight bytes of a bigint are a double to the server. The copy's lock keeps the types until the commit.
func (x *transaction) queueTypes(g *group) {
	if !g.binary {
		return
	}
	x.queue = append(x.queue, request{shape: g.shape, change: -1, done: func(n int64) error {
		if n < int64(len(g.mask)) {
			x.textual = g.shape
			return errRetyped
		}
		return nil
	}})
}

// copyReader gives the rows of a group in one of COPY's formats. It keeps one row in memory, and reads the values on whatever
// goroutine the driver reads from.
type copyReader struct {
	g    *group
	x    *transaction
	next int
	line []byte // the row being given out
	rest []byte // what of it is left
	err  error  // why a row cannot be given
}

func (r *copyReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(r.rest) == 0 && !r.advance() {
			if r.err != nil {
				return 0, r.err
			}
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		}
		c := copy(p[n:], r.rest)
		r.rest = r.rest[c:]
		n += c
	}
	return n, nil
}

// advance makes the next row; false = there is none.
func (r *copyReader) advance() bool {
	switch {
	case r.next < len(r.g.members):
		change := r.g.members[r.next]
		if !r.g.binary {
			r.line = r.appendLine(r.line[:0], change)
		} else if !r.encode(change) {
			r.err = errNoPlainForm
			return false
		}
		r.rest = r.line
	case r.next == len(r.g.members) && r.g.binary:
		r.rest = binaryTrailer
	default:
		return false
	}
	r.next++
	return true
}

func (r *copyReader) appendLine(dst []byte, change int) []byte {
	values, b := r.x.w.Changes[change].Row.Values, r.g.b
	for i, col := range r.g.mask {
		if i > 0 {
			dst = append(dst, '\t')
		}
		dst = b.cols[col].appendCopy(dst, values[b.cols[col].src])
	}
	if b.stamped() {
		dst = appendCopy(append(dst, '\t'), r.x.stamp(b, change))
	}
	return append(dst, '\n')
}

// appendCopy appends a value of the column in COPY's text format. Bytes for a column of another type are in hexadecimal there, as they are
// in parameters: only a bytea reads the shorter form as what it is.
func (c *boundColumn) appendCopy(dst []byte, v syncline.Value) []byte {
	if v.Kind() == syncline.KindBytes && c.cast != "bytea" {
		return hex.AppendEncode(append(dst, `\\x`...), v.Bytes())
	}
	return appendCopy(dst, v)
}

// encode makes the row of a change in binary, and reports whether it has such a form.
func (r *copyReader) encode(change int) bool {
	values, b, encoders := r.x.w.Changes[change].Row.Values, r.g.b, r.g.shape.encoders
	dst := binary.BigEndian.AppendUint16(r.line[:0], uint16(len(encoders)))
	ok := true
	for i, col := range r.g.mask {
		v := values[b.cols[col].src]
		if v.IsNull() || v.IsUnset() {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		if dst, ok = encoders[i](dst, v); !ok {
			return false
		}
	}
	if b.stamped() {
		dst, ok = encoders[len(encoders)-1](dst, r.x.stamp(b, change))
	}
	r.line = dst
	return ok
}
