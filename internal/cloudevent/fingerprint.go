package cloudevent

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"

	"syncline"
)

// Fingerprint tells two bodies of one event id apart. It is made of what an event says, not of how it was written: order,
// space, escapes, the mode it came in, the way a number is written and the trace context do not count, nor whether a created record
// says of a field that it is null or nothing at all. The stored event
// has the same one (FingerprintOf), whatever kinds its columns had by then.
func (r *Record) Fingerprint() []byte {
	return fingerprint(r.Entity.Name, r.Entity.Key, r.Op, &r.Meta, r.before, r.after)
}

// FingerprintOf is Record.Fingerprint of an event that Shapes made.
func FingerprintOf(e *syncline.Event) []byte {
	image := func(values []syncline.Value) []field {
		if values == nil {
			return nil
		}
		fields := make([]field, 0, len(values))
		for i, v := range values {
			if !v.IsUnset() {
				fields = append(fields, field{name: e.Schema.Columns[i].Name, value: v})
			}
		}
		return fields
	}
	meta := e.Meta
	if meta == nil {
		meta = new(syncline.Meta)
	}
	return fingerprint(e.Schema.Entity, e.Schema.KeyNames(), e.Op, meta, image(e.Before), image(e.After))
}

func fingerprint(entity string, key []string, op syncline.Op, m *syncline.Meta, before, after []field) []byte {
	h := sha256.New()
	put(h, []byte(entity))
	put(h, []byte{byte(op), byte(m.Priority)})
	if !m.Time.IsZero() {
		put(h, binary.AppendVarint(nil, m.Time.UnixMicro()))
	}
	put(h, binary.AppendVarint(nil, m.Version))
	for _, s := range []string{m.Correlation, m.User, m.Session, m.Reason, string(m.Into)} {
		put(h, []byte(s))
	}
	putCount(h, len(m.Tags))
	for _, t := range m.Tags {
		put(h, []byte(t))
	}
	if op == syncline.OpCreated {
		after = slices.DeleteFunc(slices.Clone(after), func(f field) bool { return f.value.IsNull() })
	}
	for _, fields := range [][]field{before, after} {
		if fields == nil {
			putCount(h, 0)
			continue
		}
		putCount(h, len(fields)+1)
		// The fields of the key count by their text, which a subject has as well as the data.
		for _, name := range key {
			if at, ok := find(fields, name); ok {
				put(h, []byte(syncline.MakeKey(fields[at].value)))
			}
		}
		for i := range fields {
			put(h, []byte(fields[i].name))
			if !slices.Contains(key, fields[i].name) {
				put(h, syncline.AppendCanonical(nil, fields[i].value))
			}
		}
	}
	return h.Sum(nil)
}

// put hashes the bytes with their length, so that no two lists of parts run together to the same.
func put(h hash.Hash, b []byte) {
	putCount(h, len(b))
	h.Write(b) //nolint:errcheck // a hash never fails
}

func putCount(h hash.Hash, n int) {
	var buf [binary.MaxVarintLen64]byte
	h.Write(buf[:binary.PutUvarint(buf[:], uint64(n))]) //nolint:errcheck // a hash never fails
}
