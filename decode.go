package syncline

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"
)

// ErrCorrupt is returned for stored data that is not a whole record batch of a known version.
var ErrCorrupt = errors.New("corrupt record batch")

// Directory is what a stored batch says about itself before its rows.
type Directory struct {
	Source   string
	Position Position
	Partial  bool
	Chunk    *Chunk
	Schemas  []*Schema
	Txns     []Txn
	// Count is the number of events.
	Count int
	// MinPriority and MaxPriority are over all events.
	MinPriority, MaxPriority Priority
	// KeyHashes are Key.Hash of the events' keys (after the event), 0 for keyless ones; four bytes each, little endian.
	KeyHashes []byte
}

// KeyHash returns the key hash of the i-th event.
func (d *Directory) KeyHash(i int) uint32 { return binary.LittleEndian.Uint32(d.KeyHashes[4*i:]) }

// DecodeDirectory reads the directory of a stored batch. It does not check the rows.
func DecodeDirectory(data []byte) (*Directory, error) {
	r := reader{data: data}
	b, d, _ := r.directory()
	if r.bad {
		return nil, ErrCorrupt
	}
	d.Source, d.Position, d.Partial, d.Chunk, d.Txns = b.Source, b.Position, b.Partial, b.Chunk, b.Txns
	return d, nil
}

// DecodeBatch reads a stored batch whose checksum is right. The batch refers to data.
func DecodeBatch(data []byte) (*Batch, error) {
	if len(data) < len(batchMagic)+4 {
		return nil, ErrCorrupt
	}
	body := data[:len(data)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(data[len(data)-4:]) {
		return nil, ErrCorrupt
	}
	r := reader{data: body}
	b, d, nvalues := r.directory()
	if r.bad {
		return nil, ErrCorrupt
	}
	r.events(b, d, nvalues)
	if r.bad || len(r.data) != 0 {
		return nil, ErrCorrupt
	}
	return b, nil
}

// reader takes values off the front of data. After the first impossible one it is bad and returns zeros.
type reader struct {
	data []byte
	bad  bool
	// stubs and tells: the batch's version has them, and chunks that tell of a poll.
	stubs, tells bool
}

func (r *reader) directory() (*Batch, *Directory, int) {
	if len(r.data) < len(batchMagic) || string(r.data[:versionAt]) != batchMagic[:versionAt] ||
		r.data[versionAt] < batchMagic[versionAt] || r.data[versionAt] > versionThird {
		r.bad = true
		return nil, nil, 0
	}
	r.stubs, r.tells = r.data[versionAt] >= versionSecond, r.data[versionAt] >= versionThird
	r.data = r.data[len(batchMagic):]
	b, d := &Batch{}, &Directory{}
	b.Source = r.string()
	b.Position = Position{Epoch: uint32(r.uvarint()), Commit: r.uvarint(), Ordinal: uint32(r.uvarint())}
	flags := r.uvarint()
	b.Partial, b.Sync = flags&flagPartial != 0, flags&flagSync != 0
	if cp := r.bytes(); len(cp) > 0 {
		b.Checkpoint = cp
	}
	if flags&flagChunk != 0 {
		b.Chunk = r.chunk()
	}
	if n := r.count(4); n > 0 {
		d.Schemas = make([]*Schema, n)
		for i := range d.Schemas {
			d.Schemas[i] = r.schema()
		}
	}
	if n := r.count(4); n > 0 {
		b.Txns = make([]Txn, n)
		for i := range b.Txns {
			b.Txns[i] = Txn{Commit: r.uvarint(), XID: r.uvarint(), Time: r.time(), Origin: r.string()}
		}
	}
	d.Count = r.count(4)
	nvalues := r.count(1)
	d.MinPriority, d.MaxPriority = Priority(r.byte())-8, Priority(r.byte())-8
	d.KeyHashes = r.take(4 * d.Count)
	return b, d, nvalues
}

func (r *reader) events(b *Batch, d *Directory, nvalues int) {
	if d.Count == 0 {
		r.bad = r.bad || nvalues != 0
		return
	}
	b.Events = make([]Event, d.Count)
	arena := make([]Value, nvalues)
	for i := range b.Events {
		e := &b.Events[i]
		op := r.byte()
		schema, txn := r.uvarint(), r.uvarint()
		e.Op, e.Txn, e.Ordinal = Op(op&0x0F), int(txn), uint32(r.uvarint())
		if op&eventStub != 0 {
			e.Stub = r.stub()
		}
		if r.bad || schema >= uint64(len(d.Schemas)) || e.Op == 0 || e.Op >= opEnd ||
			txn >= uint64(len(b.Txns)) && (b.Chunk == nil || txn != 0) {
			r.bad = true
			return
		}
		e.Schema = d.Schemas[schema]
		if op&eventBefore != 0 {
			e.Before, arena = r.row(e.Schema, arena)
		}
		if op&eventAfter != 0 {
			e.After, arena = r.row(e.Schema, arena)
		}
		if op&eventMeta != 0 {
			e.Meta = r.meta()
		}
	}
	r.bad = r.bad || len(arena) != 0
}

// stub reads the size of a stub.
func (r *reader) stub() uint32 {
	n := r.uvarint()
	if !r.stubs || n == 0 || n > math.MaxUint32 {
		r.bad, r.data = true, nil
		return 0
	}
	return uint32(n)
}

// row fills the first values of the arena and returns them and the rest.
func (r *reader) row(s *Schema, arena []Value) (row, rest []Value) {
	n := len(s.Columns)
	if n > len(arena) {
		r.bad = true
		return nil, arena
	}
	row, rest = arena[:n:n], arena[n:]
	data := r.data
	for i := range row {
		if len(data) == 0 {
			r.bad = true
			return nil, rest
		}
		h := uint64(data[0])
		if h < 0x80 {
			data = data[1:]
		} else {
			var w int
			if h, w = binary.Uvarint(data); w <= 0 {
				r.bad = true
				return nil, rest
			}
			data = data[w:]
		}
		kind := s.Columns[i].Kind
		switch h {
		case 0:
			continue // Null is the zero value
		case 1:
			row[i].kind = KindUnset
			continue
		case 2:
			n, w := uint64(0), 0
			if len(data) > 1 {
				kind = Kind(data[0])
				n, w = binary.Uvarint(data[1:])
			}
			if w <= 0 || !kind.Valid() || kind <= KindUnset {
				r.bad = true
				return nil, rest
			}
			h, data = n, data[1+w:]
		default:
			h -= 3
		}
		if h > uint64(len(data)) || kind <= KindUnset {
			r.bad = true
			return nil, rest
		}
		row[i] = Raw(kind, data[:h])
		data = data[h:]
	}
	r.data = data
	return row, rest
}

func (r *reader) chunk() *Chunk {
	c := &Chunk{Run: r.string(), Kind: RunKind(r.byte()), Number: uint32(r.uvarint()), Entity: r.string(), Routes: r.strings()}
	flags := r.uvarint()
	c.First, c.Reset, c.Last, c.EmptyBefore, c.Cut = flags&chunkFirst != 0, flags&chunkReset != 0, flags&chunkLast != 0, flags&chunkEmpty != 0, flags&chunkCut != 0
	if flags&chunkTold != 0 {
		events := r.uvarint()
		if c.Events, c.Failed = int64(events), r.string(); !r.tells || events > math.MaxInt64 || !c.told() {
			r.bad, r.data = true, nil
		}
	}
	return c
}

func (r *reader) schema() *Schema {
	s := &Schema{Entity: r.string(), Table: r.string(), Version: int(r.uvarint()) - 1}
	s.Columns = make([]Column, r.count(5))
	for i := range s.Columns {
		c := &s.Columns[i]
		c.Name, c.Kind, c.Elem, c.Nullable = r.string(), Kind(r.byte()), Kind(r.byte()), r.byte() != 0
		c.Type, c.Generated, c.Default = r.string(), r.string(), r.string()
		if !c.Kind.Valid() || !c.Elem.Valid() {
			r.bad = true
		}
	}
	if n := r.count(1); n > 0 {
		s.Key = make([]int, n)
		for i := range s.Key {
			s.Key[i] = int(r.uvarint())
			if s.Key[i] < 0 || s.Key[i] >= len(s.Columns) {
				r.bad = true
				s.Key[i] = 0
			}
		}
	}
	if s.Version < -1 || s.Version >= len(s.Columns) {
		r.bad = true
	}
	return s
}

func (r *reader) meta() *Meta {
	m := &Meta{ID: r.string(), Time: r.time(), Correlation: r.string(), User: r.string(), Session: r.string(), Reason: r.string(), Tags: r.strings()}
	priority := r.byte()
	m.Priority, m.Superseded = Priority(priority&^metaSuperseded)-8, priority&metaSuperseded != 0
	m.Into, m.Version, m.Trace = Key(r.string()), r.varint(), r.string()
	return m
}

func (r *reader) uvarint() uint64 {
	n, w := binary.Uvarint(r.data)
	if w <= 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[w:]
	return n
}

func (r *reader) varint() int64 {
	n, w := binary.Varint(r.data)
	if w <= 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[w:]
	return n
}

// count reads the number of items that follow, each at least size bytes long: no corrupt count can ask for more memory than
// the data could fill.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.data)/size) {
		r.bad, r.data = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.data) {
		r.bad, r.data = true, nil
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bytes() []byte { return r.take(r.count(1)) }

func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) strings() []string {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.string()
	}
	return list
}

func (r *reader) time() time.Time {
	if us := r.varint(); us != noTime {
		return time.UnixMicro(us).UTC()
	}
	return time.Time{}
}
