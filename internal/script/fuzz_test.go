package script

import (
	"bytes"
	"testing"

	"syncline/internal/javascript"
	"syncline/internal/packed"
)

// FuzzFrames: an answer and a task of any bytes are read or refused, and what was written is read.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(nil), byte(0))
	f.Add(appendResult(nil, javascript.Result{Values: [][]byte{nil, []byte(`{"a":1}`)}}), byte(2))
	f.Add(appendFailure(nil, failed, "script_failed", "line 1"), byte(1))
	f.Add([]byte{made, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}, byte(255))
	f.Fuzz(func(t *testing.T, data []byte, width byte) {
		if a, err := parseAnswer(data, int(width)); err == nil && len(a.Values) > 0 {
			again, err := parseAnswer(appendResult(nil, a.Result), int(width))
			if err != nil {
				t.Fatal(err)
			}
			for i := range a.Values {
				if !bytes.Equal(a.Values[i], again.Values[i]) {
					t.Fatalf("value %d of %x", i, data)
				}
			}
		}
		_ = readTask(&packed.Reader{Data: data}, nil)
		frame, err := readFrame(bytes.NewReader(appendFrame(nil, data)))
		if err != nil || !bytes.Equal(frame, data) {
			t.Fatalf("frame of %x = %x, %v", data, frame, err)
		}
	})
}
