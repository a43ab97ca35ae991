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

// AppendPlain appends a number of six bits a byte, the lowest first and the last one marked by 64: no byte is above 127, and few are zero.
// Where bytes go through a text they need no escapes then.
func AppendPlain(dst []byte, n uint64) []byte {
	for ; n > plainMask; n >>= plainBits {
		dst = append(dst, byte(n&plainMask))
	}
	return append(dst, byte(n)|plainEnd)
}

const (
	plainBits = 6
	plainMask = 1<<plainBits - 1
	plainEnd  = 1 << plainBits
)

// Plain reads what AppendPlain wrote.
func (r *Reader) Plain() uint64 {
	var n uint64
	for i, c := range r.Data {
		if i*plainBits > 63 || c > plainEnd|plainMask {
			break
		}
		n |= uint64(c&plainMask) << (i * plainBits)
		if c >= plainEnd {
			r.Data = r.Data[i+1:]
			return n
		}
	}
	r.fail()
	return 0
}

// AppendDigest appends seven bits to each of size bytes, the lowest first; what is beyond is left out.
func AppendDigest(dst []byte, d uint64, size int) []byte {
	for range size {
		dst = append(dst, byte(d&127))
		d >>= 7
	}
	return dst
}

// Digest reads what AppendDigest wrote.
func (r *Reader) Digest(size int) uint64 {
	if len(r.Data) < size {
		r.fail()
		return 0
	}
	var d uint64
	for i, c := range r.Data[:size] {
		if c > 127 {
			r.fail()
			return 0
		}
		d |= uint64(c) << (7 * i)
	}
	r.Data = r.Data[size:]
	return d
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
