package conflict

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"syncline"
)

// Stamp is who wrote a value, and when by their own clock. Stamps are totally ordered.
type Stamp struct {
	Time   time.Time // zero = not known
	Source string
	Event  string // id
}

// Compare orders stamps by time, then source, then event id, so that every pair of different writes has a later one whatever the
// order in which they arrive.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(s.Time.Compare(t.Time), strings.Compare(s.Source, t.Source), strings.Compare(s.Event, t.Event))
}

// shadow is what is remembered of a record.
type shadow struct {
	// logs are how far each log has been heard, by the log's id.
	logs []heard
	// stamps are those that fields and gone refer to.
	stamps []Stamp
	// gone is the stamp of the removal of a record that is not there, -1 for one that is.
	gone int
	// version is the record's, as the last event that had one told it; 0 = none.
	version int64
	fields  []known
}

// heard is the newest event of a log.
type heard struct {
	log, source string
	seq         syncline.Seq
	index       int
}

// known is what is remembered of a field.
type known struct {
	name  string
	value syncline.Value // what was written
	stamp int            // by whom
	// said has what sources said last where it is another value.
	said []saying
}

type saying struct {
	source string
	value  syncline.Value
}

// said returns what the source said last of the field; ok is false where it never said anything.
func (s *shadow) said(f *known, source string) (v syncline.Value, ok bool) {
	for i := range f.said {
		if f.said[i].source == source {
			return f.said[i].value, !f.said[i].value.IsUnset()
		}
	}
	return f.value, slices.ContainsFunc(s.logs, func(h heard) bool { return h.source == source })
}

// say notes what the source says of the field.
func (f *known) say(source string, v syncline.Value) {
	f.said = slices.DeleteFunc(f.said, func(o saying) bool { return o.source == source })
	if !syncline.Equal(f.value, v) || v.IsUnset() {
		f.said = append(f.said, saying{source, v})
	}
}

// write gives the field another value. What others said stays what they said.
func (s *shadow) write(f *known, v syncline.Value, stamp int) {
	if !syncline.Equal(f.value, v) {
		for _, h := range s.logs {
			if !slices.ContainsFunc(f.said, func(o saying) bool { return o.source == h.source }) {
				f.said = append(f.said, saying{h.source, f.value})
			}
		}
	}
	f.value, f.stamp = v, stamp
	f.said = slices.DeleteFunc(f.said, func(o saying) bool { return !o.value.IsUnset() && syncline.Equal(o.value, v) })
}

// stamp returns the number of the stamp, which it adds if it is new.
func (s *shadow) stamp(t Stamp) int {
	if at := slices.IndexFunc(s.stamps, func(o Stamp) bool { return o.Compare(t) == 0 }); at >= 0 {
		return at
	}
	s.stamps = append(s.stamps, t)
	return len(s.stamps) - 1
}

// field returns what is remembered of the column, nil where nothing is. at is where it probably stands.
func (s *shadow) field(name string, at int) *known {
	if at < len(s.fields) && s.fields[at].name == name {
		return &s.fields[at]
	}
	for i := range s.fields {
		if s.fields[i].name == name {
			return &s.fields[i]
		}
	}
	return nil
}

// hear notes an event of a log. A source that is heard for the first time has said nothing of any field yet.
func (s *shadow) hear(log, source string, seq syncline.Seq, index int) {
	first := true
	for i := range s.logs {
		if s.logs[i].log == log {
			s.logs[i].seq, s.logs[i].index = seq, index
			return
		}
		first = first && s.logs[i].source != source
	}
	if first {
		for i := range s.fields {
			s.fields[i].said = append(s.fields[i].said, saying{source, syncline.Unset})
		}
	}
	s.logs = append(s.logs, heard{log, source, seq, index})
}

// add returns a new field, of which no source has said anything.
func (s *shadow) add(name string) *known {
	f := known{name: name, value: syncline.Unset, stamp: -1}
	for _, h := range s.logs {
		f.say(h.source, syncline.Unset)
	}
	s.fields = append(s.fields, f)
	return &s.fields[len(s.fields)-1]
}

// knows reports whether an event at this place of the log, or a later one, was heard already.
func (s *shadow) knows(log string, seq syncline.Seq, index int) bool {
	for _, h := range s.logs {
		if h.log == log {
			return h.seq > seq || h.seq == seq && h.index >= index
		}
	}
	return false
}

// The stored form begins with a version. Numbers are varints, texts have their length before them.
const (
	shadowVersion = 1
	maxEntries    = 1 << 16
)

var errShadow = errors.New("what is remembered of the record is damaged")

// encode writes the stored form, without the stamps that nothing refers to.
func (s *shadow) encode() []byte {
	used := make([]int, len(s.stamps)) // the new numbers from 1
	n := 0
	use := func(i int) {
		if i >= 0 && used[i] == 0 {
			n++
			used[i] = n
		}
	}
	size := 64
	use(s.gone)
	for i := range s.fields {
		use(s.fields[i].stamp)
		size += len(s.fields[i].name) + len(s.fields[i].value.Bytes()) + 8
	}
	b := append(make([]byte, 0, size), shadowVersion)
	b = binary.AppendUvarint(b, uint64(len(s.logs)))
	for _, h := range s.logs {
		b = appendText(appendText(b, h.log), h.source)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(h.seq)), uint64(h.index))
	}
	b = binary.AppendUvarint(b, uint64(n))
	for want := 1; want <= n; want++ {
		t := s.stamps[slices.Index(used, want)]
		micros := int64(0)
		if !t.Time.IsZero() {
			micros = t.Time.UnixMicro()
		}
		b = append(b, bit(!t.Time.IsZero()))
		b = appendText(appendText(binary.AppendVarint(b, micros), t.Source), t.Event)
	}
	number := func(i int) uint64 {
		if i < 0 {
			return 0
		}
		return uint64(used[i])
	}
	b = binary.AppendUvarint(b, number(s.gone))
	b = binary.AppendVarint(b, s.version)
	b = binary.AppendUvarint(b, uint64(len(s.fields)))
	for i := range s.fields {
		f := &s.fields[i]
		b = binary.AppendUvarint(appendValue(appendText(b, f.name), f.value), number(f.stamp))
		b = binary.AppendUvarint(b, uint64(len(f.said)))
		for _, o := range f.said {
			b = appendValue(appendText(b, o.source), o.value)
		}
	}
	return b
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendValue(dst []byte, v syncline.Value) []byte {
	dst = append(dst, byte(v.Kind()))
	return append(binary.AppendUvarint(dst, uint64(len(v.Bytes()))), v.Bytes()...)
}

// decodeShadow reads what encode wrote. The values refer to data.
func decodeShadow(data []byte) (*shadow, error) {
	s := &shadow{gone: -1}
	if len(data) == 0 || data[0] != shadowVersion {
		return nil, errShadow
	}
	r := decoder{data: data[1:]}
	for range r.count() {
		s.logs = append(s.logs, heard{r.text(), r.text(), syncline.Seq(r.uvarint()), int(r.uvarint())})
	}
	for range r.count() {
		known := r.byte() == 1
		micros := r.varint()
		t := Stamp{Source: "", Event: ""}
		if known {
			t.Time = time.UnixMicro(micros).UTC()
		}
		t.Source, t.Event = r.text(), r.text()
		s.stamps = append(s.stamps, t)
	}
	s.gone = int(r.uvarint()) - 1
	s.version = r.varint()
	n := r.count()
	s.fields = make([]known, 0, min(n, 256))
	for range n {
		f := known{name: r.text(), value: r.value(), stamp: int(r.uvarint()) - 1}
		for range r.count() {
			f.said = append(f.said, saying{r.text(), r.value()})
		}
		if f.stamp < -1 || f.stamp >= len(s.stamps) {
			r.bad = true
		}
		s.fields = append(s.fields, f)
	}
	if r.bad || len(r.data) > 0 || s.gone >= len(s.stamps) || s.gone < -1 {
		return nil, errShadow
	}
	return s, nil
}

// decoder reads a stored form; bad says that it is none.
type decoder struct {
	data []byte
	bad  bool
}

func (r *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 || v > 1<<62 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *decoder) varint() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return v
}

// count is a number of entries that follow; each takes a byte at least.
func (r *decoder) count() int {
	n := r.uvarint()
	if n > uint64(len(r.data)) || n > maxEntries {
		r.bad, r.data = true, nil
		return 0
	}
	return int(n)
}

func (r *decoder) byte() byte {
	if len(r.data) == 0 {
		r.bad = true
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *decoder) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.data)) {
		r.bad, r.data = true, nil
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *decoder) text() string { return string(r.bytes()) }

func (r *decoder) value() syncline.Value {
	k := syncline.Kind(r.byte())
	b := r.bytes()
	switch {
	case k == syncline.KindUnset:
		return syncline.Unset
	case k == syncline.KindNull:
		return syncline.Null
	case !k.Valid():
		r.bad = true
		return syncline.Null
	}
	return syncline.Raw(k, b)
}
