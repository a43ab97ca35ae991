// Package packed reads and writes short binary forms: numbers are varints, a text or a list of bytes has its length before it, a value
// its kind.
package packed

import (
	"encoding/binary"

	"syncline"
)

// AppendBytes appends the length of b and b.
func AppendBytes[B string | []byte](dst []byte, b B) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// AppendValue appends a value that Reader.Value reads.
func AppendValue(dst []byte, v syncline.Value) []byte {
	return AppendBytes(append(dst, byte(v.Kind())), v.Bytes())
}

// Reader takes one part after the other from Data. After the first that is not there, Bad is true and all are zero.
type Reader struct {
	Data []byte
	Bad  bool
}

// Done reports whether all there was has been read, and nothing beyond.
func (r *Reader) Done() bool { return !r.Bad && len(r.Data) == 0 }

func (r *Reader) fail() {
	r.Bad, r.Data = true, nil
}

// Uint reads a number that is not negative.
func (r *Reader) Uint() uint64 {
	n, size := binary.Uvarint(r.Data)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.Data = r.Data[size:]
	return n
}

// Int reads a number.
func (r *Reader) Int() int64 {
	n, size := binary.Varint(r.Data)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.Data = r.Data[size:]
	return n
}

// Fixed32 reads four bytes, the lowest first.
func (r *Reader) Fixed32() uint32 {
	if len(r.Data) < 4 {
		r.fail()
		return 0
	}
	n := binary.LittleEndian.Uint32(r.Data)
	r.Data = r.Data[4:]
	return n
}

// Fixed64 reads eight bytes, the lowest first.
func (r *Reader) Fixed64() uint64 {
	if len(r.Data) < 8 {
		r.fail()
		return 0
	}
	n := binary.LittleEndian.Uint64(r.Data)
	r.Data = r.Data[8:]
	return n
}

// Count reads how many parts follow. Each takes a byte at least: no damaged count asks for more memory than the data could fill.
func (r *Reader) Count() int {
	n := r.Uint()
	if n > uint64(len(r.Data)) {
		r.fail()
		return 0
	}
	return int(n)
}

// Byte reads one.
func (r *Reader) Byte() byte {
	if len(r.Data) == 0 {
		r.fail()
		return 0
	}
	b := r.Data[0]
	r.Data = r.Data[1:]
	return b
}

// Bytes reads what AppendBytes wrote. It refers to Data.
func (r *Reader) Bytes() []byte {
	n := r.Count()
	b := r.Data[:n:n]
	r.Data = r.Data[n:]
	return b
}

// Text reads what AppendBytes wrote.
func (r *Reader) Text() string { return string(r.Bytes()) }

// Value reads what AppendValue wrote. It refers to Data.
func (r *Reader) Value() syncline.Value { return r.ValueOf(r.Byte()) }

// ValueOf reads the bytes of a value whose kind is known.
func (r *Reader) ValueOf(kind byte) syncline.Value {
	k, b := syncline.Kind(kind), r.Bytes()
	switch {
	case k == syncline.KindUnset:
		return syncline.Unset
	case k == syncline.KindNull:
		return syncline.Null
	case !k.Valid():
		r.fail()
		return syncline.Null
	}
	return syncline.Raw(k, b)
}
