package verify

import (
	"strconv"
	"strings"

	"syncline"
)

// Limit bounds how many records a repair sends: a share of those that were compared, or a number.
type Limit struct {
	// Percent is a share; 0 = Records is meant.
	Percent float64
	Records int64
}

// DefaultLimit is the limit where none is declared: one in a hundred, and of a small table up to leastRepair.
var DefaultLimit = Limit{Percent: 1}

// leastRepair is what the default limit never forbids.
const leastRepair = 100

// ParseLimit reads "1%", "0.5%" or "1000".
func ParseLimit(text string) (Limit, error) {
	bad := syncline.Errorf(syncline.Rejected, "limit_invalid", "%q is neither a share nor a number of records", text).WithFix("as in 1%% or 1000")
	if share, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(share, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return Limit{}, bad
		}
		return Limit{Percent: p}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return Limit{}, bad
	}
	return Limit{Records: n}, nil
}

func (l Limit) String() string {
	if l.Percent > 0 {
		return strconv.FormatFloat(l.Percent, 'g', -1, 64) + "%"
	}
	return strconv.FormatInt(l.Records, 10)
}

// MarshalText implements encoding.TextMarshaler.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Limit) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLimit(string(text))
	return err
}

// Allows reports whether that many of the records that were compared may be sent again; declared is false for DefaultLimit where nobody
// has asked for it.
func (l Limit) Allows(differ, compared int64, declared bool) bool {
	switch {
	case l.Percent == 0:
		return differ <= l.Records
	case !declared && differ <= leastRepair:
		return true
	}
	return float64(differ)*100 <= l.Percent*float64(compared)
}

// Refused is the error of a repair that the limit forbids.
func (l Limit) Refused(rule string, differ, compared int64) error {
	return syncline.Errorf(syncline.Rejected, "repair_refused", "%d of %d records of rule %s differ, and a repair may send %s: nothing was sent", differ, compared, rule, l).
		WithFix("see why so many differ: `syncline verify show ID`; then repair with --max-repair %d, or read all again: `syncline sync full SYSTEM/ENTITY`", Enough(differ))
}

// Enough is a limit in records that allows a repair of so many, and of some more that differ by then. A share would not do: more records
// can differ than either side has.
func Enough(differ int64) int64 {
	step := int64(1)
	for differ/step >= 100 {
		step *= 10
	}
	return (differ/step + 1) * step
}
