package verify

import (
	"slices"
	"time"

	"syncline"
)

// Mode is how much is compared.
type Mode string

const (
	// Full compares every record of both sides.
	Full Mode = "full"
	// Sampled compares records of the source that were chosen at random.
	Sampled Mode = "sample"
	// Named compares the named records.
	Named Mode = "keys"
	// Continuous compares all records again and again, slowly.
	Continuous Mode = "continuous"
)

// Repair is what is done about differences.
type Repair string

const (
	// RepairOff only tells of them.
	RepairOff Repair = "off"
	// RepairPlan tells what a repair would do, and whether it would be refused.
	RepairPlan Repair = "plan"
	// RepairAuto sends the records that differ through the log, and compares them again.
	RepairAuto Repair = "auto"
)

// Spec is what a verification is asked to do.
type Spec struct {
	Mode Mode `json:"mode"`
	// Rules are the only ones; empty = all.
	Rules []string `json:"rules,omitempty"`
	// Sample is how many records of each rule are compared.
	Sample int `json:"sample,omitempty"`
	// Keys are the records to compare, by their keys at the source.
	Keys []syncline.Key `json:"keys,omitempty"`
	// Rate bounds the records that are compared a second; 0 = no bound.
	Rate   int    `json:"rate,omitempty"`
	Repair Repair `json:"repair"`
	// MaxRepair bounds the records that a repair sends; nil = what the rule says.
	MaxRepair *Limit `json:"max_repair,omitempty"`
}

// Kind is how a record differs.
type Kind string

const (
	Missing   Kind = "missing"
	Extra     Kind = "extra"
	Different Kind = "different"
)

// Tally are of records of the source; Extra and Target are of records of the target.
type Tally struct {
	// Source and Target are how many were looked at on either side.
	Source int64 `json:"source"`
	Target int64 `json:"target"`
	// Equal are as they should be; Filtered are those that the rule does not want, and that are not at the target as far as was looked.
	Equal    int64 `json:"equal"`
	Filtered int64 `json:"filtered"`

	Missing   int64 `json:"missing"`
	Extra     int64 `json:"extra"`
	Different int64 `json:"different"`

	// What differs and is no difference. Parked records wait for a retry or a person, held ones behind them, conflicts for a decision. Policy
	// are those of which the rule leaves to others, or to the history of the record, what the target has. Enriched are equal but for what was
	// asked outside.
	Parked   int64 `json:"parked"`
	Held     int64 `json:"held"`
	Conflict int64 `json:"conflict"`
	Policy   int64 `json:"policy"`
	Enriched int64 `json:"enriched"`
	// Unsettled could not be told in time: they changed too often, or the route did not come to them.
	Unsettled int64 `json:"unsettled"`
	// Repaired were different, and are equal since a repair.
	Repaired int64 `json:"repaired"`
}

// Differences is how many records differ, without those that were repaired.
func (c *Tally) Differences() int64 { return c.Missing + c.Extra + c.Different - c.Repaired }

// Add adds what others counted.
func (c *Tally) Add(o *Tally) {
	c.Source += o.Source
	c.Target += o.Target
	c.Equal += o.Equal
	c.Filtered += o.Filtered
	c.Missing += o.Missing
	c.Extra += o.Extra
	c.Different += o.Different
	c.Parked += o.Parked
	c.Held += o.Held
	c.Conflict += o.Conflict
	c.Policy += o.Policy
	c.Enriched += o.Enriched
	c.Unsettled += o.Unsettled
	c.Repaired += o.Repaired
}

// Phase is what a part of a verification does.
type Phase string

const (
	PhaseWaiting Phase = "waiting"
	// PhaseSource lists the source's records and looks for each at the target.
	PhaseSource Phase = "source"
	// PhaseTarget lists the target's records, and looks for those that the rule does not make.
	PhaseTarget Phase = "target"
	// PhaseRepair has what differs sent again.
	PhaseRepair Phase = "repair"
	PhaseDone   Phase = "done"
	PhaseFailed Phase = "failed"
	// PhaseSkipped: there is nothing that could be compared.
	PhaseSkipped Phase = "skipped"
)

// Part is what became of one rule for one entity.
type Part struct {
	Rule   string `json:"rule"`
	Route  string `json:"route"`
	Entity string `json:"entity"` // SYSTEM/ENTITY
	Object string `json:"object"` // SYSTEM/OBJECT
	Phase  Phase  `json:"phase"`
	// Version is of the rules by which it compares and the route works; "" = the route had not begun with them.
	Version string `json:"version,omitempty"`
	// After is where the listing of the source goes on.
	After string `json:"after,omitempty"`
	// Estimate is about how many records the source has; negative = not known.
	Estimate int64 `json:"estimate"`
	Tally
	// Listed is what was counted before the target was listed, which begins anew after a restart.
	Listed *Tally `json:"listed,omitempty"`
	// Samples are the first that differ.
	Samples []Sample `json:"samples,omitempty"`
	// MaxRepair is the limit that a repair needs, where it would be refused without; else 0.
	MaxRepair int64 `json:"max_repair,omitempty"`
	// Notes are what an operator should know of the comparison.
	Notes []string `json:"notes,omitempty"`
	// Code, Error and Fix say why it failed, or why nothing was repaired.
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
	Fix   string `json:"fix,omitempty"`

	// Recent is how many records were compared minute by minute, of a part that is compared all the time.
	Recent []Minute `json:"recent,omitempty"`

	Started *time.Time `json:"started,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	// Seconds is how long it has worked, without the time that nobody did.
	Seconds float64 `json:"seconds"`
}

// Over reports whether nothing is left to do.
func (p *Part) Over() bool {
	return p.Phase == PhaseDone || p.Phase == PhaseFailed || p.Phase == PhaseSkipped
}

// Proves reports whether the target holds what the rules make, and nothing else: no record was left to others, to a person or to a later look.
func (p *Part) Proves() bool {
	c := &p.Tally
	return p.Phase == PhaseDone && c.Differences() == 0 && c.Parked+c.Held+c.Conflict+c.Policy+c.Enriched+c.Unsettled == 0
}

// By has the part compare by this version of the rules, and reports whether it begins anew for that: half of a proof by either is none.
func (p *Part) By(version string) (anew bool) {
	if anew = p.Version != "" && p.Version != version; anew {
		*p = Part{Rule: p.Rule, Route: p.Route, Entity: p.Entity, Object: p.Object, Estimate: p.Estimate, Started: p.Started, Seconds: p.Seconds, Recent: p.Recent,
			Phase: PhaseWaiting}
	}
	if p.Phase == PhaseWaiting {
		p.Version = version
	}
	return anew
}

// Find notes a record that differs.
func (p *Part) Find(s Sample) {
	switch Kind(s.Kind) {
	case Missing:
		p.Missing++
	case Extra:
		p.Extra++
	default:
		p.Different++
	}
	same := func(o Sample) bool { return o.Key == s.Key && o.Kind == s.Kind }
	if len(p.Samples) < maxSamples && !slices.ContainsFunc(p.Samples, same) {
		p.Samples = append(p.Samples, s)
	}
}

// Repair notes that a record which differed so is equal now.
func (p *Part) Repair(key syncline.Key, kind string) {
	p.Repaired++
	for i := range p.Samples {
		if s := &p.Samples[i]; s.Key == key && s.Kind == kind {
			s.Repaired = true
		}
	}
}

// Count counts what a record came to.
func (p *Part) Count(f *Finding) {
	switch f.Class {
	case ClassEqual:
		if p.Equal++; f.Enriched {
			p.Enriched++
		}
	case ClassParked:
		p.Parked++
	case ClassHeld:
		p.Held++
	case ClassConflict:
		p.Conflict++
	case ClassPolicy:
		p.Policy++
	case ClassUnsettled:
		p.Unsettled++
		p.Note(f.Note)
	case ClassDiffers:
		p.Find(Sample{Key: f.Target, Kind: string(f.Kind), Fields: f.Fields})
	}
}

// Enter begins a phase.
func (p *Part) Enter(phase Phase) {
	p.Phase = phase
	if phase == PhaseTarget && p.Listed == nil {
		listed := p.Tally
		p.Listed = &listed
	}
}

// Again sets back what a phase that was cut begins anew with.
func (p *Part) Again() {
	if p.Phase == PhaseTarget && p.Listed != nil {
		p.Tally = *p.Listed
	}
}

// Note adds a remark, once.
func (p *Part) Note(text string) {
	for _, n := range p.Notes {
		if n == text {
			return
		}
	}
	p.Notes = append(p.Notes, text)
}

// Fail ends the part.
func (p *Part) Fail(err error) {
	p.Phase = PhaseFailed
	p.Blame(err)
}

// Blame says why something was not done.
func (p *Part) Blame(err error) {
	p.Code, p.Error, p.Fix = syncline.CodeOf(err), err.Error(), syncline.FixOf(err)
}

// Minute is how many records were compared in a minute.
type Minute struct {
	At      time.Time `json:"at"`
	Records int64     `json:"records"`
}

// Lately is the time of which a part that is compared all the time tells.
const Lately = 15 * time.Minute

// Settled is of how many of the source's records it could be told what they came to.
func (p *Part) Settled() int64 { return max(p.Tally.Source-p.Unsettled, 0) }

// Compared notes that records were compared now.
func (p *Part) Compared(records int64, now time.Time) {
	at := now.Truncate(time.Minute)
	if n := len(p.Recent); n > 0 && p.Recent[n-1].At.Equal(at) {
		p.Recent[n-1].Records += records
	} else {
		p.Recent = append(p.Recent, Minute{at, records})
	}
	p.Recent = slices.DeleteFunc(p.Recent, func(m Minute) bool { return now.Sub(m.At) > Lately })
}

// RecentRecords is how many records were compared lately, each as often as it was.
func (p *Part) RecentRecords(now time.Time) (n int64) {
	for _, m := range p.Recent {
		if now.Sub(m.At) <= Lately {
			n += m.Records
		}
	}
	return n
}
