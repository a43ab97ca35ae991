package poll

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"

	"syncline"
)

// Memory keeps what was seen last of each record of polled entities: it tells what is new, what has changed, and what is gone.
//
// What a batch tells is noted before the batch goes into the log and becomes what is known once it is there (Settle); what was noted
// for a batch that never got there is discarded. So a crash at any moment leaves exactly what the log has. All methods can be repeated.
type Memory interface {
	// Noted returns the highest position that anything of the source was noted for, and the highest that is settled; 0 = none.
	Noted(ctx context.Context, source string) (noted, settled uint64, err error)
	// Note takes note of records at a position of the source, above all that is settled.
	Note(ctx context.Context, source, entity string, position uint64, seen []Seen) error
	// Settle makes what was noted up to the position what is known, a bounded part at a time: more says that there is another.
	Settle(ctx context.Context, source string, upTo uint64) (more bool, err error)
	// Discard forgets what was noted beyond the position.
	Discard(ctx context.Context, source string, beyond uint64) error
	// Known returns those of the records that are known, or noted.
	Known(ctx context.Context, source, entity string, keys []syncline.Key) (map[syncline.Key]Seen, error)
	// After returns settled records in an order of their keys, those behind after; "" begins.
	After(ctx context.Context, source, entity string, after syncline.Key, limit int) ([]Seen, error)
	// Forget forgets the entity, a bounded part at a time.
	Forget(ctx context.Context, source, entity string) (more bool, err error)
}

// Seen is what was seen last of a record.
type Seen struct {
	Key syncline.Key
	// Hash is what the record was, as Hash makes it; nil = not known.
	Hash []byte
	// State is how it was.
	State State
}

// State is how a record was when it was seen last. The numbers are stored.
type State uint8

const (
	// Live: it is a record.
	Live State = 0
	// Flagged: it is there and says that it is deleted.
	Flagged State = 1
	// Gone: it is not there. Memory does not keep those.
	Gone State = 2
)

// Brought is what is to be noted where a run tells some targets how records are, and nobody else: seen are they, Gone those that are not
// there. What a record holds is not noted, for to others it is still news, but that there is one: of what is not known a sweep could not
// tell that it is gone. Of one that was known to be otherwise no more than that is known from then on, so that the next look tells of it
// also where it is by then what it was.
func Brought(known map[syncline.Key]Seen, seen []Seen) (note []Seen) {
	for _, one := range seen {
		was, is := known[one.Key]
		live := is && was.State == Live
		switch {
		case live && (was.Hash == nil || one.State == Live && bytes.Equal(one.Hash, was.Hash)):
		case live, one.State == Live:
			note = append(note, Seen{Key: one.Key, State: Live})
		}
	}
	return note
}

// hashBytes is the length of a hash: two records out of 2^64 would have to be alike.
const hashBytes = 16

// Hash returns what tells one content of a record from another: equal values of any spelling have the same.
func Hash(row []syncline.Value) []byte {
	h := sha256.New()
	var buf []byte
	for _, v := range row {
		buf = syncline.AppendCanonical(buf[:0], v)
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(buf)))
		h.Write(size[:]) //nolint:errcheck // a hash never fails
		h.Write(buf)     //nolint:errcheck // likewise
	}
	return h.Sum(nil)[:hashBytes]
}
