package between

import (
	"encoding/binary"
	"errors"

	"syncline"
	"syncline/internal/packed"
)

// Record is what a side holds for a key: one value for each shared column, in the order of the mapping. nil = no record.
type Record []syncline.Value

// Shadow is what the rule remembers of a key. Each side keeps its own beside the record, written in one step with it. The one with the
// higher round is the newer, and says what both sides are to hold.
type Shadow struct {
	// Round grows by one with each shadow that is written for the key, on either side.
	Round uint64
	// Result is what both sides are to hold. The side that keeps the shadow held it when the shadow was written.
	Result Record
	// Seen is what the other side held then: Result tells all that had happened there until Seen. It differs from Result where the
	// other side has still to be written.
	Seen Record
	// SeenRound is the round of the shadow that the other side had then; 0 = none.
	SeenRound uint64
}

// shadowVersion begins a stored shadow. The form: version, round, round seen, what there is of Result and Seen (shadowResult…), the
// number of columns, then for each its name and the values of the records that there are: kind, length, bytes. Names are kept because
// tables change between two shadows.
const shadowVersion = 1

const (
	shadowResult = 1 << iota // there is a result
	shadowSeen               // there is a record seen
	shadowSame               // both are the same, and Seen is not written
)

var errShadow = errors.New("a shadow that cannot be read")

// encode returns the stored form of s, whose records have these columns.
func (s *Shadow) encode(columns []string) []byte {
	flags := byte(0)
	if s.Result != nil {
		flags |= shadowResult
	}
	if s.Seen != nil {
		flags |= shadowSeen
	}
	if equalRecords(s.Result, s.Seen) {
		flags |= shadowSame
	}
	out := binary.AppendUvarint([]byte{shadowVersion}, s.Round)
	out = append(binary.AppendUvarint(out, s.SeenRound), flags)
	out = binary.AppendUvarint(out, uint64(len(columns)))
	for i, name := range columns {
		out = packed.AppendBytes(out, name)
		if s.Result != nil {
			out = packed.AppendValue(out, s.Result[i])
		}
		if s.Seen != nil && flags&shadowSame == 0 {
			out = packed.AppendValue(out, s.Seen[i])
		}
	}
	return out
}

// decodeShadow reads what encode wrote, in the terms of these columns. A column that it does not know is Unset.
func decodeShadow(data []byte, columns []string) (*Shadow, error) {
	r := packed.Reader{Data: data}
	if r.Byte() != shadowVersion {
		return nil, errShadow
	}
	s := &Shadow{Round: r.Uint(), SeenRound: r.Uint()}
	flags := r.Byte()
	if flags&shadowResult != 0 {
		s.Result = unsetRecord(len(columns))
	}
	if flags&shadowSeen != 0 {
		s.Seen = unsetRecord(len(columns))
	}
	index := make(map[string]int, len(columns))
	for i, name := range columns {
		index[name] = i
	}
	for n := r.Uint(); n > 0 && !r.Bad; n-- {
		i, known := index[string(r.Bytes())]
		if s.Result != nil {
			if v := r.Value(); known {
				s.Result[i] = v
			}
		}
		if s.Seen != nil && flags&shadowSame == 0 {
			if v := r.Value(); known {
				s.Seen[i] = v
			}
		}
	}
	if !r.Done() || flags&shadowSame != 0 && (s.Result == nil) != (s.Seen == nil) {
		return nil, errShadow
	}
	if flags&shadowSame != 0 {
		s.Seen = s.Result
	}
	return s, nil
}

func unsetRecord(n int) Record {
	r := make(Record, n)
	for i := range r {
		r[i] = syncline.Unset
	}
	return r
}

// equalRecords reports whether both sides hold the same: the same values, or no record.
func equalRecords(a, b Record) bool {
	if (a == nil) != (b == nil) || len(a) != len(b) {
		return false
	}
	for i := range a {
		if !syncline.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
