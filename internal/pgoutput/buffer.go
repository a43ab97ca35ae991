package pgoutput

import (
	"bytes"
	"encoding/binary"
	"time"
)

// buffer takes values off the front of data. After the first impossible one it is bad and returns zeros.
type buffer struct {
	data []byte
	bad  bool
}

// end reports whether the message was exactly as long as what was read of it.
func (r *buffer) end(t Type) error {
	if r.bad || len(r.data) != 0 {
		return malformed("%q cut off or too long", byte(t))
	}
	return nil
}

func (r *buffer) take(n uint32) []byte {
	if uint64(n) > uint64(len(r.data)) {
		r.bad, r.data = true, nil
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *buffer) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *buffer) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *buffer) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *buffer) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// string reads a string that ends with a zero byte.
func (r *buffer) string() string {
	i := bytes.IndexByte(r.data, 0)
	if i < 0 {
		r.bad, r.data = true, nil
		return ""
	}
	s := string(r.data[:i])
	r.data = r.data[i+1:]
	return s
}

// Time2000 is the zero of PostgreSQL's clock, in microseconds since 1970.
const Time2000 = 946684800_000000

func (r *buffer) time() time.Time { return time.UnixMicro(int64(r.uint64()) + Time2000).UTC() }

func (r *buffer) relation() *Relation {
	t := &Relation{ID: r.uint32(), Namespace: r.string(), Name: r.string(), Identity: r.byte()}
	if t.Namespace == "" { // how the protocol writes pg_catalog
		t.Namespace = "pg_catalog"
	}
	n := int(r.uint16())
	if n > len(r.data)/10 { // no column is shorter: a corrupt number cannot ask for more memory than the data could fill
		r.bad = true
		return t
	}
	t.Columns = make([]RelationColumn, n)
	for i := range t.Columns {
		t.Columns[i] = RelationColumn{Identity: r.byte()&1 != 0, Name: r.string(), Type: r.uint32(), Modifier: int32(r.uint32())}
	}
	return t
}
