package script

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"syncline/internal/javascript"
	"syncline/internal/packed"
)

// What goes between the two processes. A frame is its length (4 bytes, big endian) and its content; a string is its length as a varint
// and its bytes. To the worker goes one frame that says what to run (setup), then one for each batch of records: their number, the
// time for them in nanoseconds, and of each the event, the record before and after, and the fields that were not sent. Back comes one
// frame that says that the setup is understood, then one for each record: a letter for what came of it, and what belongs to that. Nobody
// else ever reads this: both processes are the same program.
const (
	ready      = 'r' // setup is understood
	made       = 'o' // then the values of the fields: 0 = as it was, 1 and a string
	dropped    = 'd'
	unsent     = 'u' // then the name of the field
	failed     = 'f' // then code and message; a record of its own
	later      = 'l' // there was no time for it
	ended      = 'e' // the same, and the process ends
	maxFrame   = 256 << 20
	maxMessage = 4 << 10
)

// setup is what a worker is told first.
type setup struct {
	Code    string   `json:"code"`
	Fields  []string `json:"fields"`
	Timeout int64    `json:"timeout"` // nanoseconds
	Memory  int64    `json:"memory"`  // bytes
}

var errFrame = errors.New("a frame that cannot be read")

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, errFrame
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

func appendFrame(dst, content []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(content))), content...)
}

func appendTask(dst []byte, t *javascript.Task) []byte {
	dst = packed.AppendBytes(dst, t.Event)
	dst = packed.AppendBytes(dst, t.Before)
	dst = packed.AppendBytes(dst, t.After)
	dst = binary.AppendUvarint(dst, uint64(len(t.Unset)))
	for _, name := range t.Unset {
		dst = packed.AppendBytes(dst, name)
	}
	return dst
}

func readTask(f *packed.Reader, names []string) *javascript.Task {
	t := &javascript.Task{Event: f.Bytes(), Before: f.Bytes(), After: f.Bytes(), Fields: names}
	for range f.Count() {
		t.Unset = append(t.Unset, f.Text())
	}
	return t
}

func appendResult(dst []byte, res javascript.Result) []byte {
	switch {
	case res.Unset != "":
		return packed.AppendBytes(append(dst, unsent), res.Unset)
	case res.Drop:
		return append(dst, dropped)
	}
	dst = append(dst, made)
	for _, v := range res.Values {
		if v == nil {
			dst = append(dst, 0)
			continue
		}
		dst = packed.AppendBytes(append(dst, 1), v)
	}
	return dst
}

func appendFailure(dst []byte, letter byte, code, message string) []byte {
	return packed.AppendBytes(packed.AppendBytes(append(dst, letter), code), message[:min(len(message), maxMessage)])
}

// answer is what a worker says of a record.
type answer struct {
	javascript.Result
	code, message string // of a record that failed
	ended, later  bool
}

func parseAnswer(frame []byte, width int) (a answer, err error) {
	if len(frame) == 0 {
		return a, errFrame
	}
	f := &packed.Reader{Data: frame[1:]}
	switch frame[0] {
	case made:
		a.Values = make([][]byte, width)
		for i := range a.Values {
			if f.Uint() == 1 {
				a.Values[i] = f.Bytes()
			}
		}
	case dropped:
		a.Drop = true
	case later:
		a.later = true
	case unsent:
		a.Unset = f.Text()
	case failed, ended:
		a.code, a.message, a.ended = f.Text(), f.Text(), frame[0] == ended
	default:
		return a, fmt.Errorf("%w: letter %q", errFrame, frame[0])
	}
	if !f.Done() {
		return a, errFrame
	}
	return a, nil
}
