package conflict

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"syncline"
)

// Stamp is who wrote a value, and when by their own clock. Stamps are totally ordered.
type Stamp struct {
	Time   time.Time // zero = not known
	Source string
	Event  Digest // of its id, 0 = none
}

// Digest stands for the id of an event or of a log: it tells ids from each other, with a chance of one in 2^56 that it does not.
type Digest uint64

// DigestOf is FNV-1a, with its bits mixed once more: ids differ in their last characters alone.
func DigestOf[S string | []byte](id S) Digest {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return Digest((h ^ h>>32) & (1<<(7*idSize) - 1))
}

// nameDigest stands for the name of a field. Those of one schema differ.
type nameDigest uint32

func digestOfName(name string) nameDigest { return nameDigest(DigestOf(name) & (1<<(7*nameSize) - 1)) }

// digests returns those of a schema's columns.
func digests(s *syncline.Schema) ([]nameDigest, error) {
	list := make([]nameDigest, len(s.Columns))
	for i := range s.Columns {
		list[i] = digestOfName(s.Columns[i].Name)
		if at := slices.Index(list[:i], list[i]); at >= 0 {
			return nil, syncline.Errorf(syncline.Fatal, "bad_conflict", "conflict: what is remembered of the fields %s and %s could not be told apart", s.Columns[at].Name, s.Columns[i].Name).
				WithFix("rename one of the two in the rule's transform")
		}
	}
	return list, nil
}

// Compare orders stamps by time, then source, then event, so that every pair of different writes has a later one whatever the
// order in which they arrive.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(s.Time.Compare(t.Time), strings.Compare(s.Source, t.Source), cmp.Compare(s.Event, t.Event))
}

// shadow is what is remembered of a record.
type shadow struct {
	// logs are how far each log has been heard, by the log.
	logs []heard
	// stamps are those that fields and gone refer to.
	stamps []Stamp
	// gone is the stamp of the removal of a record that is not there, -1 for one that is.
	gone int
	// version is the record's, as the last event that had one told it; 0 = none.
	version int64
	// columns are the fields that the record's schema has, by column; others those that only records of other rules have.
	columns []known
	others  []other
}

// heard is the newest event of a log.
type heard struct {
	log    Digest
	source string
	seq    syncline.Seq
	index  int
}

// known is what is remembered of a field.
type known struct {
	there bool           // something is
	value syncline.Value // what was written
	stamp int            // by whom, -1 = nobody
	// said has what sources said last where it is another value.
	said []saying
}

type saying struct {
	source string
	value  syncline.Value
}

type other struct {
	name nameDigest
	known
}

// reset forgets everything, for a record of as many columns.
func (s *shadow) reset(columns int) {
	s.logs, s.stamps, s.others, s.gone, s.version = s.logs[:0], s.stamps[:0], s.others[:0], -1, 0
	if cap(s.columns) < columns {
		s.columns = make([]known, columns)
	}
	s.columns = s.columns[:columns]
	clear(s.columns)
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
	f.forget(source)
	if v.IsUnset() || !syncline.Equal(f.value, v) {
		f.said = append(f.said, saying{source, v})
	}
}

// forget removes what the source said.
func (f *known) forget(source string) {
	if len(f.said) > 0 {
		f.said = slices.DeleteFunc(f.said, func(o saying) bool { return o.source == source })
	}
}

// write gives the field a value, which may be the same as it has. What others than the speaker said stays what they said; the speaker, if there is one, says
// something now.
func (s *shadow) write(f *known, v syncline.Value, same bool, stamp int, speaker string) {
	if !same {
		for _, h := range s.logs {
			if h.source != speaker && !slices.ContainsFunc(f.said, func(o saying) bool { return o.source == h.source }) {
				f.said = append(f.said, saying{h.source, f.value})
			}
		}
	}
	f.value, f.stamp = v, stamp
	if len(f.said) > 0 {
		f.said = slices.DeleteFunc(f.said, func(o saying) bool { return !o.value.IsUnset() && syncline.Equal(o.value, v) })
	}
}

// stamp returns the number of the stamp, which it adds if it is new.
func (s *shadow) stamp(t Stamp) int {
	if at := slices.IndexFunc(s.stamps, func(o Stamp) bool { return o.Compare(t) == 0 }); at >= 0 {
		return at
	}
	s.stamps = append(s.stamps, t)
	return len(s.stamps) - 1
}

// field returns what is remembered of the column, which is nothing at first: no source has said anything of it.
func (s *shadow) field(column int) *known {
	f := &s.columns[column]
	if !f.there {
		*f = known{there: true, value: syncline.Unset, stamp: -1}
		for _, h := range s.logs {
			f.say(h.source, syncline.Unset)
		}
	}
	return f
}

// hear notes an event of a log. A source that is heard for the first time has said nothing of any field yet.
func (s *shadow) hear(log Digest, source string, seq syncline.Seq, index int) {
	first := true
	for i := range s.logs {
		if s.logs[i].log == log {
			s.logs[i].seq, s.logs[i].index = seq, index
			return
		}
		first = first && s.logs[i].source != source
	}
	if first {
		for i := range s.columns {
			if f := &s.columns[i]; f.there {
				f.said = append(f.said, saying{source, syncline.Unset})
			}
		}
		for i := range s.others {
			f := &s.others[i]
			f.said = append(f.said, saying{source, syncline.Unset})
		}
	}
	s.logs = append(s.logs, heard{log, source, seq, index})
}

// remove notes that the record goes.
func (s *shadow) remove(stamp Stamp) {
	clear(s.columns)
	s.others, s.gone = s.others[:0], s.stamp(stamp)
}

// knows reports whether an event at this place of the log, or a later one, was heard already.
func (s *shadow) knows(log Digest, seq syncline.Seq, index int) bool {
	for _, h := range s.logs {
		if h.log == log {
			return h.seq > seq || h.seq == seq && h.index >= index
		}
	}
	return false
}
