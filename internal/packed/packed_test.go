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
