package pgtarget

import (
	"encoding/binary"
	"encoding/hex"

	"syncline"
)

// textOID is the type text, the element type of every array that we send.
const textOID = 25

// appendArray appends the binary form of a one-dimensional text[] of n elements, in which next appends the i-th value.
func appendArray(dst []byte, n int, value func(i int) syncline.Value) []byte {
	dst = append(dst, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, textOID) // dimensions, may have nulls, element type
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, 0, 0, 0, 1) // lower bound
	for i := range n {
		v := value(i)
		switch v.Kind() {
		case syncline.KindNull, syncline.KindUnset:
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
		case syncline.KindBytes:
			b := v.Bytes()
			dst = binary.BigEndian.AppendUint32(dst, uint32(2+hex.EncodedLen(len(b))))
			dst = hex.AppendEncode(append(dst, `\x`...), b)
		default:
			b := v.Bytes()
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(b)))
			dst = append(dst, b...)
		}
	}
	return dst
}

// appendCopy appends a value in COPY's text format.
func appendCopy(dst []byte, v syncline.Value) []byte {
	switch v.Kind() {
	case syncline.KindNull, syncline.KindUnset:
		return append(dst, `\N`...)
	case syncline.KindBytes:
		return appendCopyBytes(dst, v.Bytes())
	}
	b := v.Bytes()
	start := 0
	for i, c := range b {
		if c > '\\' || copyEscapes[c] == 0 {
			continue
		}
		dst = append(dst, b[start:i]...)
		dst = append(dst, '\\', copyEscapes[c])
		start = i + 1
	}
	return append(dst, b[start:]...)
}

// appendCopyBytes appends a bytea in whichever of its two forms is the shorter one. What is mostly text, as a shadow is, is half as long
// in the escape form.
func appendCopyBytes(dst, b []byte) []byte {
	size := 0
	for _, c := range b {
		size += int(escapedSize[c])
	}
	if size > len(`\\x`)+hex.EncodedLen(len(b)) {
		return hex.AppendEncode(append(dst, `\\x`...), b)
	}
	start := 0
	for i, c := range b {
		if escapedSize[c] == 1 {
			continue
		}
		dst = append(dst, b[start:i]...)
		start = i + 1
		switch escapedSize[c] {
		case 2:
			dst = append(dst, '\\', copyEscapes[c])
		case 4:
			dst = append(dst, `\\\\`...)
		default:
			dst = append(dst, '\\', '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		}
	}
	return append(dst, b[start:]...)
}

// escapedSize is how many bytes each takes in the escape form of a bytea: a backslash for COPY or two for the bytea before what stands for it.
var escapedSize = func() (size [256]uint8) {
	for c := range size {
		switch {
		case c == 0 || c > 0x7f:
			size[c] = 5
		case c == '\\':
			size[c] = 4
		case c < '\\' && copyEscapes[c] != 0:
			size[c] = 2
		default:
			size[c] = 1
		}
	}
	return size
}()

// copyEscapes are the bytes that COPY would take for its own, with the letter that stands for them.
var copyEscapes = ['\\' + 1]byte{'\b': 'b', '\t': 't', '\n': 'n', '\v': 'v', '\f': 'f', '\r': 'r', '\\': '\\'}
