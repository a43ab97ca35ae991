package conflict

import (
	"errors"
	"slices"
	"time"

	"syncline"
	"syncline/internal/packed"
)

// A shadow's stored form stands beside each record and goes both ways with each change, so that it is kept short: a hundred bytes cost
// a PostgreSQL target about a microsecond a row (BenchmarkDecide of internal/pgtarget). It goes there in a text, so that it has as few bytes as possible that need an
// escape: numbers and digests are those of packed.AppendPlain and AppendDigest. It begins with a version. Texts and values have their
// length before them, sources are numbered.
//
//	sources, each a text
//	logs, each: digest, source, sequence, index
//	stamps, each: 1 if the time is known + 2 if there is an event; source; time in microseconds, as the difference to the stamp before;
//	  digest of the event's id
//	stamp of the removal + 1, or 0; version
//	fields, each: digest of the name; kind of the value + 32 if its stamp differs from that of the field before + 64 if sources said
//	  something else; the value's bytes; the stamp + 1, or 0; what was said, each: source, kind, bytes
const (
	shadowVersion = 4

	stampTimed, stampIdentified = 1, 2
	kindMask, fieldStamped      = 31, 32
	fieldSaid                   = 64

	idSize, nameSize = 8, 4 // of digests, in bytes
)

var (
	errShadow = errors.New("what is remembered of the record is damaged")
	// errOtherShadow: all that a build with another form has remembered is like this, so that nothing is won by leaving out one record.
	errOtherShadow = errors.New("what is remembered of the record was written by a build that is older or newer")
)

// lastShadowVersion bounds what is taken for the version of another build. No text begins with such a byte.
const lastShadowVersion = 8

// encoder writes one stored form.
type encoder struct {
	s *shadow
	b []byte
	// sources and stamps are those that are referred to, in the order of their numbers. Stamps are numbered in the shadow.
	sources []string
	stamps  []int
	// block is where stored forms are kept: they come by the thousand.
	block []byte
}

// formBlock is the size of a block.
const formBlock = 32 << 10

// keep copies the stored form to a place of its own.
func (e *encoder) keep() []byte {
	if cap(e.block)-len(e.block) < len(e.b) {
		e.block = make([]byte, 0, max(len(e.b), min(2*cap(e.block)+len(e.b), formBlock)))
	}
	start := len(e.block)
	e.block = append(e.block, e.b...)
	return e.block[start:len(e.block):len(e.block)]
}

// encode returns the stored form, without the stamps that nothing refers to. names are those of the columns.
func (e *encoder) encode(s *shadow, names []nameDigest) []byte {
	e.s, e.b, e.sources, e.stamps = s, e.b[:0], e.sources[:0], e.stamps[:0]
	for i := range s.logs {
		e.source(s.logs[i].source)
	}
	fields := len(s.others)
	e.refer(s.gone)
	for i := range s.columns {
		if s.columns[i].there {
			e.field(&s.columns[i])
			fields++
		}
	}
	for i := range s.others {
		e.field(&s.others[i].known)
	}
	for _, i := range e.stamps {
		e.source(s.stamps[i].Source)
	}

	e.b = append(e.b, shadowVersion)
	e.number(len(e.sources))
	for _, name := range e.sources {
		e.text(name)
	}
	e.number(len(s.logs))
	for _, h := range s.logs {
		e.b = packed.AppendDigest(e.b, uint64(h.log), idSize)
		e.number(e.source(h.source))
		e.b = packed.AppendPlain(e.b, uint64(h.seq))
		e.number(h.index)
	}
	e.number(len(e.stamps))
	before := int64(0)
	for _, i := range e.stamps {
		before = e.stamp(&s.stamps[i], before)
	}
	e.number(e.refer(s.gone))
	e.signed(s.version)
	e.number(fields)
	last := 0
	for i := range s.columns {
		if s.columns[i].there {
			last = e.known(names[i], &s.columns[i], last)
		}
	}
	for i := range s.others {
		last = e.known(s.others[i].name, &s.others[i].known, last)
	}
	return e.keep()
}

// source returns the source's number.
func (e *encoder) source(name string) int {
	at := slices.Index(e.sources, name)
	if at < 0 {
		at = len(e.sources)
		e.sources = append(e.sources, name)
	}
	return at
}

// refer returns the number that the stamp gets, from 1; 0 for none.
func (e *encoder) refer(stamp int) int {
	if stamp < 0 {
		return 0
	}
	at := slices.Index(e.stamps, stamp)
	if at < 0 {
		at = len(e.stamps)
		e.stamps = append(e.stamps, stamp)
	}
	return at + 1
}

// field numbers what the field refers to.
func (e *encoder) field(f *known) {
	e.refer(f.stamp)
	for i := range f.said {
		e.source(f.said[i].source)
	}
}

// stamp writes a stamp; before is the time of the last one that has one. It returns that of this one.
func (e *encoder) stamp(t *Stamp, before int64) int64 {
	head := byte(0)
	if !t.Time.IsZero() {
		head |= stampTimed
	}
	if t.Event != 0 {
		head |= stampIdentified
	}
	e.b = append(e.b, head)
	e.number(e.source(t.Source))
	if head&stampTimed != 0 {
		micros := t.Time.UnixMicro()
		e.signed(micros - before)
		before = micros
	}
	if head&stampIdentified != 0 {
		e.b = packed.AppendDigest(e.b, uint64(t.Event), idSize)
	}
	return before
}

// known writes a field; last is the number of the stamp before. It returns the field's.
func (e *encoder) known(name nameDigest, f *known, last int) int {
	e.b = packed.AppendDigest(e.b, uint64(name), nameSize)
	head, stamp := byte(f.value.Kind()), e.refer(f.stamp)
	if stamp != last {
		head |= fieldStamped
	}
	if len(f.said) > 0 {
		head |= fieldSaid
	}
	e.b = append(e.b, head)
	e.b = packed.AppendBytes(e.b, f.value.Bytes())
	if stamp != last {
		e.number(stamp)
	}
	if len(f.said) > 0 {
		e.number(len(f.said))
	}
	for _, o := range f.said {
		e.number(e.source(o.source))
		e.b = packed.AppendValue(e.b, o.value)
	}
	return stamp
}

func (e *encoder) number(n int)   { e.b = packed.AppendPlain(e.b, uint64(n)) }
func (e *encoder) signed(n int64) { e.b = packed.AppendPlain(e.b, uint64(n)<<1^uint64(n>>63)) }
func (e *encoder) text(s string)  { e.b = packed.AppendBytes(e.b, s) }

// decoder reads stored forms.
type decoder struct {
	packed.Reader
	// texts are some that were read before: the same few sources come again and again.
	texts   []string
	sources []string
}

// decode reads into s what encode wrote. The values refer to data.
func (r *decoder) decode(s *shadow, data []byte, names []nameDigest) error {
	s.reset(len(names))
	switch {
	case len(data) == 0, data[0] == 0, data[0] > lastShadowVersion:
		return errShadow
	case data[0] != shadowVersion:
		return errOtherShadow
	}
	r.Reader, r.sources = packed.Reader{Data: data[1:]}, r.sources[:0]
	for range r.count() {
		r.sources = append(r.sources, r.text())
	}
	for range r.count() {
		h := heard{Digest(r.Digest(idSize)), r.source(), syncline.Seq(r.Plain()), int(r.Plain())}
		r.Bad = r.Bad || h.index < 0
		s.logs = append(s.logs, h)
	}
	before := int64(0)
	for range r.count() {
		var t Stamp
		t, before = r.stamp(before)
		s.stamps = append(s.stamps, t)
	}
	s.gone = r.stampOf(s)
	s.version = r.signed()
	last, at := -1, 0
	for range r.count() {
		name := nameDigest(r.Digest(nameSize))
		var f known
		f, last = r.known(s, last)
		column, known := find(names, name, at)
		if !known {
			s.others = append(s.others, other{name, f})
			continue
		}
		at = column + 1
		r.Bad = r.Bad || s.columns[column].there
		s.columns[column] = f
	}
	if !r.Done() {
		return errShadow
	}
	return nil
}

// find returns the column of the name, which probably is the next or the one after it.
func find(names []nameDigest, name nameDigest, next int) (int, bool) {
	for i := next; i < len(names); i++ {
		if names[i] == name {
			return i, true
		}
	}
	i := slices.Index(names[:next], name)
	return i, i >= 0
}

// count reads how many parts follow. Each takes a byte at least.
func (r *decoder) count() int {
	n := r.Plain()
	if n > uint64(len(r.Data)) {
		r.Bad = true
		return 0
	}
	return int(n)
}

func (r *decoder) signed() int64 {
	n := r.Plain()
	return int64(n>>1) ^ -int64(n&1)
}

// stamp reads what the encoder's wrote.
func (r *decoder) stamp(before int64) (Stamp, int64) {
	var t Stamp
	head := r.Byte()
	r.Bad = r.Bad || head&^(stampTimed|stampIdentified) != 0
	t.Source = r.source()
	if head&stampTimed != 0 {
		before += r.signed()
		t.Time = time.UnixMicro(before).UTC()
	}
	if head&stampIdentified != 0 {
		t.Event = Digest(r.Digest(idSize))
	}
	return t, before
}

// stampOf reads the number of a stamp, -1 = none.
func (r *decoder) stampOf(s *shadow) int {
	n := r.Plain()
	if n > uint64(len(s.stamps)) {
		r.Bad = true
		return -1
	}
	return int(n) - 1
}

// known reads a field; last is the stamp of the one before. It returns the field's.
func (r *decoder) known(s *shadow, last int) (known, int) {
	head := r.Byte()
	f := known{there: true, stamp: last}
	f.value = r.ValueOf(head & kindMask)
	r.Bad = r.Bad || head&^(kindMask|fieldStamped|fieldSaid) != 0
	if head&fieldStamped != 0 {
		f.stamp = r.stampOf(s)
	}
	if head&fieldSaid != 0 {
		n := r.count()
		f.said = make([]saying, 0, min(n, 16))
		for range n {
			f.said = append(f.said, saying{r.source(), r.Value()})
		}
	}
	return f, f.stamp
}

// maxTexts bounds what a decoder keeps of texts.
const maxTexts = 64

func (r *decoder) text() string {
	b := r.Bytes()
	for _, t := range r.texts {
		if t == string(b) {
			return t
		}
	}
	t := string(b)
	if len(r.texts) < maxTexts {
		r.texts = append(r.texts, t)
	}
	return t
}

func (r *decoder) source() string {
	n := r.Plain()
	if n >= uint64(len(r.sources)) {
		r.Bad = true
		return ""
	}
	return r.sources[n]
}
