package between

import (
	"slices"

	"syncline"
	"syncline/internal/plant"
)

// Held is what one side holds for a key: the record and the shadow beside it, as they were at one moment.
type Held struct {
	Record Record
	Shadow *Shadow // nil = none
}

// round is that of the side's shadow, 0 without one.
func (h *Held) round() uint64 {
	if h.Shadow == nil {
		return 0
	}
	return h.Shadow.Round
}

// Deleted says what becomes of a record that one side deleted while the other one changed it.
type Deleted uint8

const (
	// DeletedLoses: the change wins, and the record is brought back where it was deleted.
	DeletedLoses Deleted = iota
	// DeletedWins: the record goes on both sides.
	DeletedWins
	// DeletedConflict: a person decides.
	DeletedConflict
)

// Overlap is a field that both sides changed, neither knowing of the other's change.
type Overlap struct {
	// Column is the field's place in the records.
	Column int
	// Values are what the sides hold. They are equal only where changes add up (Policy.Adds).
	Values [2]syncline.Value
	// Agreed is what both sides were to hold, and Bases what each held when it had last been taken into account: the field's change on
	// a side is from its base to its value. They are Unset where nothing is known: the sides meet for the first time.
	Agreed syncline.Value
	Bases  [2]syncline.Value
	// Records are the whole records of both sides.
	Records [2]Record
}

// Resolve decides an overlap; ok is false where a person has to. It depends on nothing but the overlap.
type Resolve func(o *Overlap) (v syncline.Value, ok bool)

// Policy says what is decided where both sides changed a record.
type Policy struct {
	Deleted Deleted
	// Resolve is nil where a person decides every overlap.
	Resolve Resolve
	// Adds says, by column, where changes of both sides add up, so that two equal ones are an overlap too. nil = nowhere.
	Adds []bool
	// Quiet says, by column, where a change alone is none: a time that the database sets whenever a record is written, also by us. Each
	// side keeps its own until something else changes. nil = nowhere.
	Quiet []bool
	// Timed is, by column, the one whose later value decides it; -1 = none. nil = nowhere.
	Timed []int
}

func (p *Policy) adds(column int) bool { return p.Adds != nil && p.Adds[column] }

// Verdict is what both sides are to hold from now on.
type Verdict struct {
	// Conflict: a person has to decide, nothing is written. Fields are the columns that nobody resolved; none = one side deleted the
	// record that the other one changed.
	Conflict bool
	Fields   []int
	// Decided are the columns that both sides changed and the policy decided.
	Decided []int
	// Result is what both sides are to hold.
	Result Record
	// Write says which sides hold something else.
	Write [2]bool
	// Note: no side has to be written, but what both hold is new, and a shadow must tell so before either of them goes on from it.
	Note bool
	// Forget: there is no record on either side, and a shadow that is not needed any more.
	Forget bool
	// Overlaps counts the fields that the policy decided, deletions against changes included.
	Overlaps int
}

// Decide compares what both sides hold with what they held when they were last the same. It is a pure function of what the sides
// hold: events only say when to look, so that their order, their number and whether they are echoes of our own writes mean nothing.
func Decide(held [2]Held, policy *Policy) Verdict {
	c := newComparison(held)
	var v Verdict
	switch {
	case held[0].Record == nil && held[1].Record == nil:
		v.Forget = held[0].Shadow != nil || held[1].Shadow != nil
		return v
	case c.deleted(0) && c.deleted(1):
		v.Result = nil
	case c.deleted(0), c.deleted(1):
		v = c.deletion(policy)
	case held[0].Record == nil, held[1].Record == nil:
		v = c.single(policy)
	default:
		v = c.merge(policy)
	}
	if v.Conflict {
		return v
	}
	for i := range held {
		v.Write[i] = !equalRecords(held[i].Record, v.Result)
	}
	v.Note = !v.Write[0] && !v.Write[1] && !c.current(v.Result)
	return v
}

// calm gives quiet columns the values that they had, where nothing else has changed. Decide is to see them so.
func (p *Policy) calm(held [2]Held) [2]Held {
	if p.Quiet == nil {
		return held
	}
	c := newComparison(held)
	for side := range held {
		if r, base := held[side].Record, c.bases[side]; r != nil && base != nil && c.based[side] {
			held[side].Record = p.quieted(r, base)
		}
	}
	return held
}

func (p *Policy) quieted(r, base Record) Record {
	out := slices.Clone(r)
	for i := range r {
		switch {
		case syncline.Equal(r[i], base[i]):
		case !p.Quiet[i] || base[i].IsUnset():
			return r
		default:
			out[i] = base[i]
		}
	}
	return out
}

// comparison is what each side held when it was last taken into account.
type comparison struct {
	held [2]Held
	// known: either side has a shadow. agreed is what the newer one says that both sides are to hold.
	known  bool
	agreed Record
	// bases are what each side held of what agreed tells; based is false for a side of which that is not known.
	bases [2]Record
	based [2]bool
}

func newComparison(held [2]Held) comparison {
	c := comparison{held: held}
	newer := 0
	if held[1].round() > held[0].round() {
		newer = 1
	}
	s := held[newer].Shadow
	if s == nil {
		return c
	}
	older := 1 - newer
	c.known, c.agreed = true, s.Result
	c.bases[newer], c.based[newer] = s.Result, true
	switch behind := held[older].Shadow; {
	case held[older].round() == s.SeenRound && !plant.EchoIsChange:
		c.bases[older], c.based[older] = s.Seen, true
	case behind != nil: // it was restored to before the newer shadow saw it
		c.bases[older], c.based[older] = behind.Result, true
	case equalRecords(held[older].Record, s.Result):
		c.bases[older], c.based[older] = s.Result, true
	}
	return c
}

// changed reports whether the side holds something else than when it was last taken into account.
func (c *comparison) changed(side int) bool {
	r := c.held[side].Record
	if !c.based[side] {
		return r != nil // a record that is gone with its shadow was not deleted: the side has lost its memory
	}
	return !equalRecords(r, c.bases[side])
}

// deleted reports whether somebody deleted a record on this side that was to stay.
func (c *comparison) deleted(side int) bool {
	return c.held[side].Record == nil && c.based[side] && c.bases[side] != nil && c.agreed != nil
}

// removed reports whether somebody deleted the record on this side.
func removed(held [2]Held, side int) bool {
	c := newComparison(held)
	return c.deleted(side)
}

// current reports whether the shadows say already that both sides hold the record.
func (c *comparison) current(r Record) bool {
	return c.known && equalRecords(c.agreed, r) && !c.changed(0) && !c.changed(1) && c.based[0] && c.based[1]
}

// deletion decides where one side deleted the record that the other one holds.
func (c *comparison) deletion(policy *Policy) Verdict {
	kept := 0
	if c.deleted(0) {
		kept = 1
	}
	// What the side that deleted it had not been given yet is a change too.
	if !c.changed(kept) && equalRecords(c.bases[1-kept], c.agreed) {
		return Verdict{}
	}
	return c.against(kept, policy)
}

// against decides a deletion against a change.
func (c *comparison) against(changed int, policy *Policy) Verdict {
	switch policy.Deleted {
	case DeletedWins:
		return Verdict{Overlaps: 1}
	case DeletedConflict:
		return Verdict{Conflict: true}
	}
	return Verdict{Result: c.held[changed].Record, Overlaps: 1}
}

// single decides where only one side has a record, which the other one did not delete, or not just now.
func (c *comparison) single(policy *Policy) Verdict {
	present := 0
	if c.held[0].Record == nil {
		present = 1
	}
	pending := c.known && c.agreed == nil // the record is to go, or went before this one was made
	switch {
	case pending && !c.changed(present):
		return Verdict{}
	case pending && c.based[present] && c.bases[present] != nil:
		return c.against(present, policy)
	}
	return Verdict{Result: c.held[present].Record}
}

// merge decides field by field where both sides have a record.
func (c *comparison) merge(policy *Policy) Verdict {
	records := [2]Record{c.held[0].Record, c.held[1].Record}
	v := Verdict{Result: make(Record, len(records[0]))}
	if c.known && c.agreed == nil && !(c.changed(0) && c.changed(1)) {
		// One side still has the record that is to go; what is on the other side was made since.
		for side := range records {
			if c.changed(side) {
				v.Result = records[side]
				return v
			}
		}
		return Verdict{}
	}
	for i := range v.Result {
		o := Overlap{Column: i, Values: [2]syncline.Value{records[0][i], records[1][i]}, Records: records, Agreed: field(c.agreed, i),
			Bases: [2]syncline.Value{field(c.bases[0], i), field(c.bases[1], i)}}
		// A side is still where it had the field; it has seen all that was agreed on where its change went out from that.
		var still, seen [2]bool
		for side := range still {
			base := o.Bases[side]
			still[side] = !base.IsUnset() && syncline.Equal(o.Values[side], base)
			seen[side] = !base.IsUnset() && syncline.Equal(base, o.Agreed)
		}
		// A column that both sides have only now: what one of them has in it already is no answer to the other's null.
		fresh := c.known && o.Bases[0].IsUnset() && o.Bases[1].IsUnset()
		switch {
		case fresh && o.Values[0].IsNull():
			v.Result[i] = o.Values[1]
		case fresh && o.Values[1].IsNull():
			v.Result[i] = o.Values[0]
		case still[0] && still[1]:
			v.Result[i] = o.Agreed
		case still[0] && seen[1]:
			v.Result[i] = o.Values[1]
		case still[1] && seen[0], syncline.Equal(o.Values[0], o.Values[1]) && !policy.adds(i):
			v.Result[i] = o.Values[0]
		default:
			ok := false
			if policy.Resolve != nil {
				v.Result[i], ok = policy.Resolve(&o)
			}
			if ok {
				v.Decided = append(v.Decided, i)
			} else {
				v.Conflict, v.Fields = true, append(v.Fields, i)
			}
			v.Overlaps++
		}
	}
	return v
}

// field returns a record's value, Unset where there is no record.
func field(r Record, i int) syncline.Value {
	if r == nil {
		return syncline.Unset
	}
	return r[i]
}

// shadow returns what the side that is written next remembers once it holds the result, and the other one is as held says.
func shadow(side int, result Record, held [2]Held) *Shadow {
	other := 1 - side
	return &Shadow{Round: max(held[0].round(), held[1].round()) + 1, Result: result, Seen: held[other].Record, SeenRound: held[other].round()}
}
