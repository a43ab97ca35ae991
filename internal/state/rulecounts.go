package state

import (
	"encoding/binary"
	"errors"
)

// RuleCounts is what became of the tasks of one rule.
type RuleCounts struct {
	Rule   string
	Counts Counts
}

var errRuleCounts = errors.New("counts by rule are cut short")

// appendRuleCounts appends the stored form: per rule its name, and the counts of which Read is the sum.
func appendRuleCounts(dst []byte, rules []RuleCounts) []byte {
	for i := range rules {
		c := &rules[i].Counts
		dst = binary.AppendUvarint(dst, uint64(len(rules[i].Rule)))
		dst = append(dst, rules[i].Rule...)
		for _, n := range [...]int64{c.Applied, c.Filtered, c.Superseded, c.Parked, c.Skipped} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
	}
	return dst
}

func decodeRuleCounts(b []byte) ([]RuleCounts, error) {
	var rules []RuleCounts
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, errRuleCounts
		}
		r := RuleCounts{Rule: string(b[n : n+int(size)])}
		b = b[n+int(size):]
		for o := range outcomeEnd {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, errRuleCounts
			}
			r.Counts.Count(o, int64(v))
			b = b[n:]
		}
		rules = append(rules, r)
	}
	return rules, nil
}
