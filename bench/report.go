package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// section is one measurement in the report.
type section struct {
	title string
	how   string
	head  []string
	rows  [][]string
	goals []goal
}

// markdown is the report.
func markdown(about [][2]string, sections []section) string {
	var w strings.Builder
	w.WriteString("# Benchmarks\n\n" +
		"Made by `make bench`. The source, the target, native logical replication and Syncline share one machine. Syncline writes durably " +
		"everywhere; native replication has its defaults, with which the subscriber commits asynchronously. " +
		"Figures of throughput are medians of the rounds.\n\n")
	rows := make([][]string, len(about))
	for i, a := range about {
		rows[i] = a[:]
	}
	writeTable(&w, []string{"", ""}, rows)
	if goals := summary(sections); len(goals) > 0 {
		w.WriteString("\n## Goals\n\n")
		writeTable(&w, []string{"goal", "wanted", "measured", "met"}, goals)
	}
	for _, s := range sections {
		fmt.Fprintf(&w, "\n## %s\n\n%s\n\n", s.title, s.how)
		writeTable(&w, s.head, s.rows)
	}
	return w.String()
}

// writeTable writes the table with its columns in line, for those who read the file as it is.
func writeTable(w *strings.Builder, head []string, rows [][]string) {
	width := make([]int, len(head))
	for _, r := range append([][]string{head}, rows...) {
		for i, cell := range r {
			width[i] = max(width[i], len([]rune(cell)), 3)
		}
	}
	line := func(cells []string) {
		for i, cell := range cells {
			fmt.Fprintf(w, "| %-*s ", width[i], cell)
		}
		w.WriteString("|\n")
	}
	line(head)
	for _, n := range width {
		w.WriteString("|" + strings.Repeat("-", n+2))
	}
	w.WriteString("|\n")
	for _, r := range rows {
		line(r)
	}
}

// measured is what one side did in the rounds.
type measured struct {
	label  string
	trials []trial
}

// line is the side's line in a table of throughput. Native replication has no process of its own to tell the usage of.
func (m measured) line(rows int) []string {
	took := median(each(m.trials, func(t trial) time.Duration { return t.took }))
	used := median(each(m.trials, func(t trial) time.Duration { return t.cpu }))
	peak := slices.Max(each(m.trials, func(t trial) int64 { return t.peak }))
	line := []string{m.label, count(int(m.rate(rows))), seconds(took), "–", "–", "–"}
	if peak > 0 {
		copy(line[3:], []string{mebibytes(peak), seconds(used), fmt.Sprintf("%.1f µs", float64(used.Nanoseconds())/1000/float64(rows))})
	}
	return line
}

// rate is the median of the rounds, in rows per second.
func (m measured) rate(rows int) float64 {
	return median(each(m.trials, func(t trial) float64 { return rate(rows, t.took) }))
}

// throughput compares the rounds of the two sides.
func throughput(title, how string, rows int, base, ours measured) section {
	return section{title: title, how: how, head: []string{"", "rows/s", "time", "peak memory", "CPU", "CPU a row"}, rows: [][]string{
		base.line(rows),
		ours.line(rows),
		ours.against(base, rows).line("**ratio**"),
	}}
}

// ratio compares two sides: that of their medians, and those of the rounds.
type ratio struct{ median, least, most float64 }

// against is how many times as fast as base it was.
func (m measured) against(base measured, rows int) ratio {
	rounds := make([]float64, len(base.trials))
	for i := range rounds {
		rounds[i] = rate(rows, m.trials[i].took) / rate(rows, base.trials[i].took)
	}
	return ratio{m.rate(rows) / base.rate(rows), slices.Min(rounds), slices.Max(rounds)}
}

// line is the ratio's line in a table of throughput.
func (r ratio) line(label string) []string {
	return []string{label, fmt.Sprintf("**%.2f**", r.median), fmt.Sprintf("rounds: %.2f–%.2f", r.least, r.most), "", "", ""}
}

func each[T, V any](list []T, value func(T) V) []V {
	values := make([]V, len(list))
	for i, x := range list {
		values[i] = value(x)
	}
	return values
}

// median is the middle value, the mean of the two in the middle of an even number.
func median[T time.Duration | float64](list []T) T {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// quantile is the least value that at least the share q of the values does not exceed. The list is sorted and not empty.
func quantile(list []time.Duration, q float64) time.Duration {
	n := int(q * float64(len(list)))
	if float64(n) < q*float64(len(list)) {
		n++
	}
	return list[max(n, 1)-1]
}

func rate(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

// count writes 1234567 as 1,234,567.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func mebibytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
