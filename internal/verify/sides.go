package verify

import "syncline"

// Pair is what one look at a record of a two-way rule has shown.
type Pair struct {
	// Held is what either side has; nil = nothing.
	Held [2][]syncline.Value
	// Disputed: the rule leaves it to a person. Writes: the rule would write a side.
	Disputed, Writes bool
	Waits            []Wait
	// Touched: an event of it came that the look may not have seen.
	Touched bool
	// Last: there is no other look.
	Last bool
}

// SettlePair decides what a record of both sides comes to; again asks for another look.
func (j *Judge) SettlePair(p *Pair) (f Finding, again bool) {
	switch {
	case p.Held[0] == nil && p.Held[1] == nil:
		return f, false
	case p.Held[1] == nil:
		f.Kind = Missing
	case p.Held[0] == nil:
		f.Kind = Extra
	default:
		if f.Fields = j.Matcher.Fields(p.Held[0], p.Held[1]); len(f.Fields) == 0 {
			return f, false
		}
		f.Kind = Different
	}
	switch {
	case p.Disputed:
		f.Class = ClassConflict
	case len(p.Waits) > 0:
		f.Class = ClassParked
	case !p.Writes: // columns that each side keeps for itself
		f.Class = ClassPolicy
	case p.Touched && p.Last:
		f.Class, f.Note = ClassUnsettled, "it changes all the time"
	case p.Touched:
		return f, true
	default:
		f.Class = ClassDiffers
	}
	return f, false
}
