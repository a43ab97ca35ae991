package pgoutput

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"unicode/utf8"

	"syncline"
)

// Layout says how the columns that a relation sends become the values of a row. It does not change.
type Layout struct {
	// Tag is the caller's own.
	Tag any

	columns []Column
	width   int
	unsent  []int // the values that no column fills
}

// Column says what becomes of one column.
type Column struct {
	// Index is its place in the row, -1 where it is not wanted.
	Index int
	Kind  syncline.Kind
	// Identity tells whether it belongs to the replica identity.
	Identity bool
	// CheckText makes text that is not UTF-8 a raw value. Only a database with the encoding SQL_ASCII sends such text.
	CheckText bool
}

// NewLayout returns the layout of a relation with these columns, in its order, whose rows have width values. Those that no
// column fills are Unset.
func NewLayout(columns []Column, width int, tag any) *Layout {
	l := &Layout{Tag: tag, columns: columns, width: width}
	filled := make([]bool, width)
	for _, c := range columns {
		if c.Index >= 0 {
			filled[c.Index] = true
		}
	}
	for i, ok := range filled {
		if !ok {
			l.unsent = append(l.unsent, i)
		}
	}
	return l
}

// Columns returns the columns of the relation. The caller must not change them.
func (l *Layout) Columns() []Column { return l.columns }

const (
	valueBlock = 4096 // values allocated at once, 64 KiB
	byteBlock  = 64 << 10
)

// Arena hands out memory for rows, in blocks that are never used twice. The zero Arena is ready.
type Arena struct {
	values []syncline.Value
	bytes  []byte
}

// Row returns a row of the layout: values that no column fills are Unset, the others null.
func (a *Arena) Row(l *Layout) []syncline.Value {
	n := l.width
	if n > len(a.values) {
		a.values = make([]syncline.Value, max(valueBlock, n))
	}
	row := a.values[:n:n]
	a.values = a.values[n:]
	for _, i := range l.unsent {
		row[i] = syncline.Unset
	}
	return row
}

// Copy returns a copy of b that lives in the arena.
func (a *Arena) Copy(b []byte) []byte {
	n := len(a.bytes)
	if n+len(b) > cap(a.bytes) {
		a.bytes, n = make([]byte, 0, max(byteBlock, len(b))), 0
	}
	a.bytes = append(a.bytes, b...)
	return a.bytes[n:len(a.bytes):len(a.bytes)]
}

var trueText, falseText = []byte("true"), []byte("false")

// Value makes a value of the column from PostgreSQL's text for it (DateStyle ISO, TimeZone UTC, bytea_output hex). It keeps
// text and may change it.
func (a *Arena) Value(c *Column, text []byte) (syncline.Value, error) {
	switch c.Kind {
	case syncline.KindBool:
		switch string(text) {
		case "t":
			return syncline.Raw(syncline.KindBool, trueText), nil
		case "f":
			return syncline.Raw(syncline.KindBool, falseText), nil
		}
		return syncline.Null, malformed("boolean that is neither t nor f")
	case syncline.KindBytes:
		if len(text) < 2 || text[0] != '\\' || text[1] != 'x' {
			return syncline.Null, malformed("bytea that is not in hexadecimal form")
		}
		n, err := hex.Decode(text, text[2:])
		if err != nil {
			return syncline.Null, malformed("bytea that is not in hexadecimal form")
		}
		return syncline.Bytes(text[:n:n]), nil
	case syncline.KindFloat:
		return a.float(text)
	}
	if c.CheckText && !utf8.Valid(text) {
		return syncline.Raw(syncline.KindRaw, text), nil
	}
	return syncline.Raw(c.Kind, text), nil
}

// float keeps text that is already in the form of KindFloat, which PostgreSQL's is below a million and without an
// exponent, and rewrites the rest.
func (a *Arena) float(text []byte) (syncline.Value, error) {
	if plainFloat(text) {
		return syncline.Raw(syncline.KindFloat, text), nil
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return syncline.Null, malformed("floating-point number in an unknown form")
	}
	var buf [32]byte
	return syncline.Raw(syncline.KindFloat, a.Copy(syncline.AppendFloat(buf[:0], f))), nil
}

func plainFloat(text []byte) bool {
	if len(text) > 17 {
		return false
	}
	whole, fraction, point := bytes.Cut(bytes.TrimPrefix(text, []byte{'-'}), []byte{'.'})
	if len(whole) == 0 || len(whole) > 6 || len(whole) > 1 && whole[0] == '0' || !allDigits(whole) {
		return false
	}
	if !point {
		return true
	}
	// Below one ten-thousandth the form has an exponent, and no fraction ends with a zero.
	return len(fraction) > 0 && fraction[len(fraction)-1] != '0' && allDigits(fraction) &&
		(whole[0] != '0' || !bytes.HasPrefix(fraction, []byte("0000")))
}

func allDigits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
