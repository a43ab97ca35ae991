package state

import (
	"encoding/binary"
	"errors"
)

// Outcome is what became of a task. The numbers are stored: they are never reused.
type Outcome uint8

const (
	// Applied: the target is as the event wants it.
	Applied Outcome = 0
	// Filtered: the rule did not want the event.
	Filtered Outcome = 1
	// Superseded: something newer took its place.
	Superseded Outcome = 2
	// Parked: the task waits for a retry or a person, or behind one that does.
	Parked Outcome = 3
	// Skipped: somebody decided against it.
	Skipped Outcome = 4

	outcomeEnd Outcome = 5
)

var outcomeNames = [outcomeEnd]string{"applied", "filtered", "superseded", "parked", "skipped"}

func (o Outcome) String() string {
	if o < outcomeEnd {
		return outcomeNames[o]
	}
	return "unknown"
}

// Counts are numbers of tasks. Read is always the sum of the others.
type Counts struct {
	Read       int64 `json:"read"`
	Applied    int64 `json:"applied"`
	Filtered   int64 `json:"filtered"`
	Superseded int64 `json:"superseded"`
	Parked     int64 `json:"parked"`
	Skipped    int64 `json:"skipped"`
}

// Count adds n tasks with this outcome, which were read.
func (c *Counts) Count(o Outcome, n int64) {
	c.Read += n
	c.move(o, n)
}

func (c *Counts) move(o Outcome, n int64) {
	switch o {
	case Applied:
		c.Applied += n
	case Filtered:
		c.Filtered += n
	case Superseded:
		c.Superseded += n
	case Parked:
		c.Parked += n
	case Skipped:
		c.Skipped += n
	}
}

// Balanced reports whether every task that was read is accounted for.
func (c Counts) Balanced() bool {
	return c.Read == c.Applied+c.Filtered+c.Superseded+c.Parked+c.Skipped &&
		min(c.Applied, c.Filtered, c.Superseded, c.Parked, c.Skipped) >= 0
}

// Add adds what d counts.
func (c *Counts) Add(d Counts) { c.add(d, 1) }

func (c *Counts) add(d Counts, sign int64) {
	c.Read += sign * d.Read
	c.Applied += sign * d.Applied
	c.Filtered += sign * d.Filtered
	c.Superseded += sign * d.Superseded
	c.Parked += sign * d.Parked
	c.Skipped += sign * d.Skipped
}

var errOutcomes = errors.New("outcomes are not run lengths of known codes")

// A run of n equal outcomes is the unsigned varint n<<3 | outcome.
const outcomeBits = 3

// AppendOutcomes appends the stored form of a batch's outcomes, in the order of its tasks: runs of equal codes.
func AppendOutcomes(dst []byte, outcomes []Outcome) []byte {
	for i := 0; i < len(outcomes); {
		n := 1
		for i+n < len(outcomes) && outcomes[i+n] == outcomes[i] {
			n++
		}
		dst = binary.AppendUvarint(dst, uint64(n)<<outcomeBits|uint64(outcomes[i]))
		i += n
	}
	return dst
}

// OutcomeRun is a run of equal outcomes.
type OutcomeRun struct {
	Outcome Outcome
	Count   int64
}

// DecodeOutcomes returns the runs that AppendOutcomes stored.
func DecodeOutcomes(b []byte) ([]OutcomeRun, error) {
	var runs []OutcomeRun
	for len(b) > 0 {
		v, n := binary.Uvarint(b)
		o, count := Outcome(v&(1<<outcomeBits-1)), int64(v>>outcomeBits)
		if n <= 0 || o >= outcomeEnd || count == 0 {
			return nil, errOutcomes
		}
		runs = append(runs, OutcomeRun{o, count})
		b = b[n:]
	}
	return runs, nil
}
