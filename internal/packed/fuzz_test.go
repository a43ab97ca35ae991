package packed

import (
	"testing"

	"syncline"
)

// FuzzReader: any bytes are read to an end, nothing is larger than what it was read from, and what was written is read.
func FuzzReader(f *testing.F) {
	f.Add([]byte{}, uint64(0), int64(-1))
	f.Add(AppendValue(AppendBytes(nil, "text"), syncline.Text("v")), uint64(1<<63), int64(1))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, ^uint64(0), int64(-1<<63))
	f.Fuzz(func(t *testing.T, data []byte, n uint64, size int64) {
		r := Reader{Data: data}
		for i := 0; !r.Bad && len(r.Data) > 0; i++ {
			before := len(r.Data)
			switch i % 6 {
			case 0:
				if len(r.Bytes()) > before {
					t.Fatal("more bytes than there are")
				}
			case 1:
				_ = r.Value()
			case 2:
				if r.Count() > before {
					t.Fatal("more parts than bytes")
				}
			case 3:
				r.Plain()
			case 4:
				r.Digest(3)
			case 5:
				r.Int()
			}
			if !r.Bad && len(r.Data) >= before {
				t.Fatal("nothing was read, and it is not bad")
			}
		}
		w := Reader{Data: AppendValue(AppendBytes(AppendPlain(nil, n), data), syncline.Bytes(data))}
		if w.Plain() != n || string(w.Bytes()) != string(data) || string(w.Value().Bytes()) != string(data) || !w.Done() {
			t.Fatalf("what was written of %x, %d is not read", data, n)
		}
	})
}
