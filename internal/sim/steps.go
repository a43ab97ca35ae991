package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Steps is a set of steps of a run, in their order. Steps are the transactions of the sources' histories, then what happens.
type Steps []int

// Has reports whether the step is one of them.
func (s Steps) Has(step int) bool {
	_, found := slices.BinarySearch(s, step)
	return found
}

// String gives the set as ParseSteps takes it: 3,17-40.
func (s Steps) String() string {
	var parts []string
	for i := 0; i < len(s); {
		j := i
		for j+1 < len(s) && s[j+1] == s[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(s[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", s[i], s[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// mostSteps is more than any run has.
const mostSteps = 1 << 16

// ParseSteps reads numbers and ranges, with commas between them.
func ParseSteps(text string) (Steps, error) {
	s := Steps{}
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			last = first
		}
		a, err := strconv.Atoi(first)
		if err != nil {
			return nil, fmt.Errorf("steps %q: %w", part, err)
		}
		b, err := strconv.Atoi(last)
		if err != nil || a < 1 || b < a || b > mostSteps {
			return nil, fmt.Errorf("steps %q: not a number or a range of them", part)
		}
		for n := a; n <= b; n++ {
			s = append(s, n)
		}
	}
	slices.Sort(s)
	return slices.Compact(s), nil
}

// upTo are the first n steps of a run, or those of the set.
func (s Steps) upTo(n int) Steps {
	if s != nil {
		end, found := slices.BinarySearch(s, n)
		if found {
			end++
		}
		return s[:end]
	}
	for i := range n {
		s = append(s, i+1)
	}
	return s
}
