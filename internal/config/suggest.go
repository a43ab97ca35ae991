package config

import (
	"fmt"
	"strings"
)

// nearest returns the name that the writer probably meant, or "": at most a third of the letters wrong, or one, in any case.
func nearest(word string, names []string) string {
	best, distance := "", max(len([]rune(word))/3, 1)
	for _, n := range names {
		if d := editDistance(strings.ToLower(word), strings.ToLower(n)); d <= distance && (best == "" || d < distance) {
			best, distance = n, d
		}
	}
	return best
}

// suggestName says which of the names was probably meant, else which there are.
func suggestName(word string, names []string) string {
	if n := nearest(word, names); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return oneOf(names)
}

func oneOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "one of: " + strings.Join(names, ", ")
}

// editDistance counts insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 100 || len(y) > 100 {
		return max(len(x), len(y))
	}
	var before, last []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		before, last, row = last, row, make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(y)]
}
