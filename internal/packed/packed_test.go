package packed

import (
	"testing"

	"syncline"
)

// What was written is read, and of every part of it that is cut off or damaged it is told that something is missing.
func TestReader(t *testing.T) {
	read := func(data []byte) (string, syncline.Value, syncline.Value, *Reader) {
		r := &Reader{Data: data}
		name := r.Text()
		for range r.Count() {
			r.Byte()
		}
		return name, r.Value(), r.Value(), r
	}
	data := AppendBytes(nil, "name")
	data = append(data, 2, 'x', 'y')
	data = AppendValue(AppendValue(data, syncline.Decimal("1.50")), syncline.Unset)
	name, a, b, r := read(data)
	if name != "name" || !a.Identical(syncline.Decimal("1.50")) || !b.IsUnset() || !r.Done() {
		t.Fatalf("read = %q, %v, %v, done %v", name, a, b, r.Done())
	}
	for n := range data {
		if _, _, _, r := read(data[:n]); !r.Bad {
			t.Errorf("the first %d of %d bytes were taken for all", n, len(data))
		}
	}
	if _, _, _, r := read(append(data, 0)); r.Done() {
		t.Error("a byte too many was not noticed")
	}
	if r := (&Reader{Data: []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 'x'}}); r.Bytes() != nil || !r.Bad {
		t.Error("a length beyond the end was not noticed")
	}
	if r := (&Reader{Data: []byte{250, 0}}); !r.Value().IsNull() || !r.Bad {
		t.Error("a kind that there is none of was not noticed")
	}
}

// Plain numbers and digests have no byte that a text would have to escape for being above 127, and are read back.
func TestPlain(t *testing.T) {
	for _, n := range []uint64{0, 1, 63, 64, 4095, 4096, 1 << 32, 1<<63 - 1, 1<<64 - 1} {
		data := AppendDigest(AppendPlain(nil, n), n, 8)
		for _, c := range data {
			if c > 127 {
				t.Errorf("%d became %x", n, data)
			}
		}
		r := &Reader{Data: data}
		if got, digest := r.Plain(), r.Digest(8); got != n || digest != n&(1<<56-1) || !r.Done() {
			t.Errorf("%d was read as %d, its digest as %x, done %v", n, got, digest, r.Done())
		}
		for cut := range data {
			if r := (&Reader{Data: data[:cut]}); r.Plain() == n && r.Digest(8) == n&(1<<56-1) && !r.Bad {
				t.Errorf("the first %d of %d bytes were taken for all", cut, len(data))
			}
		}
	}
	for _, data := range []string{"\x80", "\x01", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x41"} {
		if r := (&Reader{Data: []byte(data)}); r.Plain() != 0 || !r.Bad {
			t.Errorf("%q was taken for a number", data)
		}
	}
}
