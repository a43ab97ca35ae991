package syncline

import "math"

// AsStub returns the event as it enters the log where its record of size bytes is too large for that: what happened to which
// record, and where. Of Before and After the columns of the key are left, and nothing in a table without a key. Nobody may take
// the columns that are gone for ones that did not change: a stub says nothing of its record but that it is another one now.
func (e *Event) AsStub(size int) Event {
	s := *e
	s.Stub = uint32(min(max(size, 1), math.MaxUint32))
	s.Before, s.After = Row{e.Schema, e.Before}.KeyOnly(), Row{e.Schema, e.After}.KeyOnly()
	return s
}

// KeyOnly returns the values with all unset but those of the key; nil where the table has no key or there are no values.
func (r Row) KeyOnly() []Value {
	if r.Values == nil || len(r.Schema.Key) == 0 {
		return nil
	}
	out := make([]Value, len(r.Values))
	for i := range out {
		out[i] = Unset
	}
	for _, c := range r.Schema.Key {
		out[c] = r.Values[c]
	}
	return out
}
