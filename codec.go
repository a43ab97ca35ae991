package syncline

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// The record batch format. Integers are unsigned varints unless a width is given; a string is its length and its bytes; a
// signed integer is zig-zag.
//
//	"SLB" version:byte
//	source:string  epoch commit ordinal  flags  checkpoint:string
//	[chunk: run:string kind number entity:string nroutes route:string… flags [events failed:string]]     if flagChunk
//	nschemas (entity:string table:string version+1 ncolumns column… nkey index…)…
//	ntxns (commit xid time:µs origin:string)…
//	nevents nvalues  minpriority+8 maxpriority+8  keyhash:uint32le × nevents      ← the directory ends here
//	event…: op|flags schema txn ordinal [size] [before] [after] [meta]
//	crc32c:uint32le of all before
//
// A row is one header per column: 0 null, 1 unset, 2 followed by a kind byte and a length, else length+3 of a value of the
// column's own kind; the bytes follow the header.
//
// Version 2 has stubs, a flag and the size, and superseded events, a flag in their priority. A batch without them is written as
// version 1, which older programs read too. Version 3 has what a poll's chunk tells, a flag of the chunk and two fields.
const (
	batchMagic = "SLB\x01"
	// versionAt is where the version stands in a batch.
	versionAt     = len(batchMagic) - 1
	versionSecond = 2
	versionThird  = 3

	flagPartial = 1
	flagChunk   = 2
	flagSync    = 4

	chunkFirst, chunkReset, chunkLast, chunkEmpty, chunkTold, chunkCut = 1, 2, 4, 8, 16, 32

	metaSuperseded = 0x80 // in the priority's byte

	eventStub, eventBefore, eventAfter, eventMeta = 0x10, 0x20, 0x40, 0x80
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendBatch appends the stored form of b.
func AppendBatch(dst []byte, b *Batch) ([]byte, error) {
	start := len(dst)
	dst = append(dst, batchMagic...)
	dst = appendString(dst, b.Source)
	dst = binary.AppendUvarint(dst, uint64(b.Position.Epoch))
	dst = binary.AppendUvarint(dst, b.Position.Commit)
	dst = binary.AppendUvarint(dst, uint64(b.Position.Ordinal))
	dst = binary.AppendUvarint(dst, bit(b.Partial, flagPartial)|bit(b.Chunk != nil, flagChunk)|bit(b.Sync, flagSync))
	dst = appendString(dst, string(b.Checkpoint))
	if c := b.Chunk; c != nil {
		dst = appendChunk(dst, c)
	}

	schemas, index := batchSchemas(b)
	dst = binary.AppendUvarint(dst, uint64(len(schemas)))
	for _, s := range schemas {
		dst = appendSchema(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Txns)))
	for i := range b.Txns {
		t := &b.Txns[i]
		dst = binary.AppendUvarint(dst, t.Commit)
		dst = binary.AppendUvarint(dst, t.XID)
		dst = binary.AppendVarint(dst, microseconds(t.Time))
		dst = appendString(dst, t.Origin)
	}
	dst, second, err := appendEvents(dst, b, index)
	if err != nil {
		return nil, err
	}
	if second {
		dst[start+versionAt] = versionSecond
	}
	if b.Chunk != nil && b.Chunk.told() {
		dst[start+versionAt] = versionThird
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli)), nil
}

// batchSchemas lists the distinct schemas of the events in the order of their first use.
func batchSchemas(b *Batch) ([]*Schema, map[*Schema]int) {
	var list []*Schema
	index := make(map[*Schema]int, 4)
	var last *Schema
	for i := range b.Events {
		s := b.Events[i].Schema
		if s == last {
			continue
		}
		last = s
		if _, ok := index[s]; !ok {
			index[s] = len(list)
			list = append(list, s)
		}
	}
	return list, index
}

// appendEvents appends everything behind the transactions, and reports whether any event is a stub.
func appendEvents(dst []byte, b *Batch, index map[*Schema]int) (_ []byte, second bool, _ error) {
	nvalues, lo, hi := 0, PriorityNormal, PriorityNormal
	for i := range b.Events {
		e := &b.Events[i]
		if e.Before != nil && len(e.Before) != len(e.Schema.Columns) || e.After != nil && len(e.After) != len(e.Schema.Columns) {
			return nil, false, fmt.Errorf("encode record batch: event %d of %s does not have its schema's columns", i, e.Schema.Entity)
		}
		if e.Txn < 0 || e.Txn >= len(b.Txns) && b.Chunk == nil {
			return nil, false, fmt.Errorf("encode record batch: event %d names transaction %d of %d", i, e.Txn, len(b.Txns))
		}
		nvalues += len(e.Before) + len(e.After)
		second = second || e.Stub > 0 || e.Meta != nil && e.Meta.Superseded
		lo, hi = min(lo, e.Priority()), max(hi, e.Priority())
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Events)))
	dst = binary.AppendUvarint(dst, uint64(nvalues))
	dst = append(dst, byte(lo+8), byte(hi+8))
	var scratch []byte
	for i := range b.Events {
		var h uint32
		h, scratch = b.Events[i].keyHash(scratch)
		dst = binary.LittleEndian.AppendUint32(dst, h)
	}
	var last *Schema
	var schema int
	for i := range b.Events {
		e := &b.Events[i]
		if e.Schema != last {
			last, schema = e.Schema, index[e.Schema]
		}
		op := byte(e.Op)
		if e.Stub > 0 {
			op |= eventStub
		}
		if e.Before != nil {
			op |= eventBefore
		}
		if e.After != nil {
			op |= eventAfter
		}
		if e.Meta != nil {
			op |= eventMeta
		}
		dst = append(dst, op)
		dst = binary.AppendUvarint(dst, uint64(schema))
		dst = binary.AppendUvarint(dst, uint64(e.Txn))
		dst = binary.AppendUvarint(dst, uint64(e.Ordinal))
		if e.Stub > 0 {
			dst = binary.AppendUvarint(dst, uint64(e.Stub))
		}
		if e.Before != nil {
			dst = appendRow(dst, e.Schema, e.Before)
		}
		if e.After != nil {
			dst = appendRow(dst, e.Schema, e.After)
		}
		if e.Meta != nil {
			dst = appendMeta(dst, e.Meta)
		}
	}
	return dst, second, nil
}

// keyHash is Key.Hash of the event's key without making the key.
func (e *Event) keyHash(scratch []byte) (uint32, []byte) {
	values := e.After
	if values == nil {
		values = e.Before
	}
	if values == nil || len(e.Schema.Key) == 0 {
		return 0, scratch
	}
	scratch = scratch[:0]
	for i, c := range e.Schema.Key {
		if i > 0 {
			scratch = append(scratch, ',')
		}
		scratch = appendKeyPart(scratch, values[c])
	}
	h := uint32(2166136261)
	for _, c := range scratch {
		h = (h ^ uint32(c)) * 16777619
	}
	return h, scratch
}

func appendRow(dst []byte, s *Schema, values []Value) []byte {
	for i := range values {
		v := &values[i]
		switch {
		case v.kind == KindNull:
			dst = append(dst, 0)
			continue
		case v.kind == KindUnset:
			dst = append(dst, 1)
			continue
		case v.kind == s.Columns[i].Kind:
			if n := len(v.Bytes()); n < 0x80-3 {
				dst = append(dst, byte(n+3))
			} else {
				dst = binary.AppendUvarint(dst, uint64(n)+3)
			}
		default:
			dst = append(dst, 2, byte(v.kind))
			dst = binary.AppendUvarint(dst, uint64(len(v.Bytes())))
		}
		dst = append(dst, v.Bytes()...)
	}
	return dst
}

func appendChunk(dst []byte, c *Chunk) []byte {
	dst = appendString(dst, c.Run)
	dst = append(dst, byte(c.Kind))
	dst = binary.AppendUvarint(dst, uint64(c.Number))
	dst = appendString(dst, c.Entity)
	dst = appendStrings(dst, c.Routes)
	dst = binary.AppendUvarint(dst, bit(c.First, chunkFirst)|bit(c.Reset, chunkReset)|bit(c.Last, chunkLast)|bit(c.EmptyBefore, chunkEmpty)|
		bit(c.told(), chunkTold)|bit(c.Cut, chunkCut))
	if c.told() {
		dst = binary.AppendUvarint(dst, uint64(c.Events))
		dst = appendString(dst, c.Failed)
	}
	return dst
}

func (c *Chunk) told() bool { return c.Events > 0 || c.Failed != "" }

func appendSchema(dst []byte, s *Schema) []byte {
	dst = appendString(dst, s.Entity)
	dst = appendString(dst, s.Table)
	dst = binary.AppendUvarint(dst, uint64(s.Version+1))
	dst = binary.AppendUvarint(dst, uint64(len(s.Columns)))
	for i := range s.Columns {
		c := &s.Columns[i]
		dst = appendString(dst, c.Name)
		dst = append(dst, byte(c.Kind), byte(c.Elem), byte(bit(c.Nullable, 1)))
		dst = appendString(dst, c.Type)
		dst = appendString(dst, c.Generated)
		dst = appendString(dst, c.Default)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.Key)))
	for _, k := range s.Key {
		dst = binary.AppendUvarint(dst, uint64(k))
	}
	return dst
}

func appendMeta(dst []byte, m *Meta) []byte {
	dst = appendString(dst, m.ID)
	dst = binary.AppendVarint(dst, microseconds(m.Time))
	dst = appendString(dst, m.Correlation)
	dst = appendString(dst, m.User)
	dst = appendString(dst, m.Session)
	dst = appendString(dst, m.Reason)
	dst = appendStrings(dst, m.Tags)
	dst = append(dst, byte(m.Priority+8)|byte(bit(m.Superseded, metaSuperseded)))
	dst = appendString(dst, string(m.Into))
	dst = binary.AppendVarint(dst, m.Version)
	return appendString(dst, m.Trace)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendString(dst, s)
	}
	return dst
}

func bit(set bool, b uint64) uint64 {
	if set {
		return b
	}
	return 0
}

// noTime marks the zero time, which has no microseconds since 1970 that fit.
const noTime = math.MinInt64

func microseconds(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixMicro()
}
