package main

import (
	"fmt"
	"time"
)

// goal is what a figure is wanted to be, and what it is.
type goal struct {
	what   string
	wanted string
	found  string
	met    bool
}

// atLeast wants a ratio of this or more.
func atLeast(what string, wanted, found float64) goal {
	return goal{what, fmt.Sprintf("≥ %.2f", wanted), fmt.Sprintf("%.2f", found), found >= wanted}
}

// atMost wants a value of this or less, of a kind that has an order and a way to be written.
func atMost[T int64 | float64 | time.Duration](what string, wanted, found T, text func(T) string) goal {
	return goal{what, "≤ " + text(wanted), text(found), found <= wanted}
}

// summary are the goals of all sections, as a table.
func summary(sections []section) [][]string {
	var rows [][]string
	for _, s := range sections {
		for _, g := range s.goals {
			met := "yes"
			if !g.met {
				met = "**no**"
			}
			rows = append(rows, []string{g.what, g.wanted, g.found, met})
		}
	}
	return rows
}
