package verify

import (
	"slices"

	"syncline"
)

// Wish is what a rule wants its target to hold of one record of the source.
type Wish struct {
	// Rows are the records that should be there, Keys those places where none should be: rows of which only the key counts.
	Rows, Keys []syncline.Row
	// Unknown says why it cannot be told.
	Unknown string
}

// places are all that is looked for, in the order in which it is read.
func (w *Wish) places() []syncline.Row { return slices.Concat(w.Rows, w.Keys) }

// Class is what a record comes to.
type Class uint8

const (
	ClassEqual Class = iota
	ClassDiffers
	ClassParked
	ClassHeld
	ClassConflict
	ClassPolicy
	ClassUnsettled
)

// Finding is what a record comes to.
type Finding struct {
	Class    Class
	Enriched bool
	// Kind, Target and Fields are of one that differs: how, the target's key, and which fields.
	Kind   Kind
	Target syncline.Key
	Fields []string
	// Note says why it cannot be told.
	Note string
	// Wanted: the rule makes the record of the target that was taken for extra.
	Wanted bool
}

// Wait is why a record is not yet what it should be.
type Wait uint8

const (
	// WaitParked is for a retry or a person, WaitHeld behind such a one, WaitConflict for a decision.
	WaitParked Wait = iota
	WaitHeld
	WaitConflict
)

// Look is what one look at a record has shown. Nothing of it is read again: another look begins with a fresh answer of the source.
type Look struct {
	// Extra is set where a record of the target is asked about: its key.
	Extra *syncline.Row
	// Wish is by the newest event up to the source's answer; nil = the rule leaves it to others. Held is what the target had at its places, after
	// the route had passed the answer.
	Wish *Wish
	Held [][]syncline.Value
	// Later are the wishes by each event behind the answer that was in the log once the target had been read, the oldest first.
	Later []*Wish
	// Waiting is what waits, by the target's keys; Keys are those that the record had by its events.
	Waiting map[syncline.Key][]Wait
	Keys    []syncline.Key
	// Refused: no record of the source can have this key.
	Refused bool
	// Last: there is no other look.
	Last bool
}

// Judge decides what the records of a rule come to.
type Judge struct {
	Matcher *Matcher
	// Shared: others write the records, too, and may be right.
	Shared bool
	// Expires: records vanish from the target by themselves.
	Expires bool
}

// Settle decides what a record comes to by one look; again asks for another one, of a record that changes while it is looked at. The target must
// hold what the newest event up to the answer wants, or what one of the later ones wants. If it holds neither, it differs for certain where
// there was no later event; with later events, the last look decides.
func (j *Judge) Settle(l *Look) (f Finding, again bool) {
	f = j.compare(l.Wish, l.Held, l.Extra)
	switch {
	case f.Class == ClassEqual, l.waits(&f), f.Class == ClassPolicy, l.Refused:
	case f.Class == ClassUnsettled:
		return f, !l.Last
	case len(l.Later) > 0:
		if j.onItsWay(l) {
			return Finding{}, false
		}
		return f, !l.Last
	}
	return f, false
}

// compare sets what the target holds beside what it should.
func (j *Judge) compare(w *Wish, held [][]syncline.Value, asked *syncline.Row) (f Finding) {
	switch {
	case w == nil:
		f.Class = ClassPolicy
		return f
	case w.Unknown != "":
		f.Class, f.Note = ClassUnsettled, w.Unknown
		return f
	}
	differs := func(kind Kind, row syncline.Row, fields []string) {
		if f.Class == ClassEqual {
			f.Class, f.Kind, f.Fields = ClassDiffers, kind, fields
			f.Target, _ = row.Key()
		}
	}
	var extra syncline.Key
	if asked != nil {
		extra, _ = asked.Key()
	}
	expired := false
	for i, row := range w.Rows {
		if k, ok := row.Key(); ok && k == extra && asked != nil {
			f.Wanted = true
		}
		if held[i] == nil && j.Expires {
			expired = true
			continue
		}
		if held[i] == nil {
			differs(Missing, row, nil)
			continue
		}
		equal, enriched := j.Matcher.Equal(row.Values, held[i])
		if f.Enriched = f.Enriched || enriched; !equal {
			differs(Different, row, j.Matcher.Fields(row.Values, held[i]))
		}
	}
	for i, row := range w.Keys {
		if held[len(w.Rows)+i] != nil {
			differs(Extra, row, nil)
		}
	}
	if f.Class == ClassDiffers && f.Kind == Different && j.Shared || f.Class == ClassEqual && expired {
		f.Class = ClassPolicy
	}
	return f
}

// onItsWay reports whether the target holds what an event wants that came after the answer.
func (j *Judge) onItsWay(l *Look) bool {
	at := make(map[syncline.Key]int)
	for i, row := range l.Wish.places() {
		k, _ := row.Key()
		at[k] = i
	}
	for _, later := range l.Later {
		if later == nil || later.Unknown != "" {
			continue
		}
		var held [][]syncline.Value
		known := true
		for _, row := range later.places() {
			k, _ := row.Key()
			i, ok := at[k]
			if known = known && ok; known {
				held = append(held, l.Held[i])
			}
		}
		if known && j.compare(later, held, l.Extra).Class == ClassEqual {
			return true
		}
	}
	return false
}

// waits makes a finding of a record that waits: for a decision, else for a retry or a person, else behind one that does.
func (l *Look) waits(f *Finding) bool {
	keys := append([]syncline.Key{f.Target}, l.Keys...)
	if l.Wish != nil {
		for _, row := range l.Wish.places() {
			k, _ := row.Key()
			keys = append(keys, k)
		}
	}
	var all []Wait
	for _, k := range keys {
		all = append(all, l.Waiting[k]...)
	}
	if len(all) == 0 {
		return false
	}
	f.Class = classOf(all)
	return true
}

func classOf(waits []Wait) Class {
	switch {
	case slices.Contains(waits, WaitConflict):
		return ClassConflict
	case slices.Contains(waits, WaitParked):
		return ClassParked
	}
	return ClassHeld
}

// Unmade is what a record of the target comes to that no event speaks of since the comparison began, and that was not seen among what the rule
// makes: held tells whether it is still there.
func Unmade(held bool, waits []Wait) Class {
	switch {
	case !held:
		return ClassEqual
	case len(waits) > 0:
		return classOf(waits)
	}
	return ClassDiffers
}
