package demo

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"syncline/internal/ops"
)

// style is how a line of a frame looks.
type style string

const (
	plain  style = ""
	strong style = "\x1b[1m"
	faint  style = "\x1b[2m"
	alarm  style = "\x1b[31m"
	reset        = "\x1b[0m"
)

type styled struct {
	text string
	style
}

// screen writes the demo's output. A frame is drawn over the one before, in a single write and without clearing anything
// first, so that nothing flickers.
type screen struct {
	out      io.Writer
	terminal *Terminal // nil = none
	drawn    int       // lines of the last frame
	buf      bytes.Buffer
}

const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	clearLine  = "\x1b[K" // to the line's end
	clearBelow = "\x1b[J"
)

// frame draws lines, cut to what the terminal can show.
func (s *screen) frame(lines []styled) {
	columns, height := s.terminal.Size()
	lines = lines[:min(len(lines), max(height-1, 1))]
	s.buf.Reset()
	if s.drawn > 0 {
		fmt.Fprintf(&s.buf, "\r\x1b[%dA", s.drawn)
	} else {
		s.buf.WriteString(hideCursor)
	}
	for _, l := range lines {
		text := cut(l.text, columns)
		if s.terminal.Color && l.style != plain {
			text = string(l.style) + text + reset
		}
		s.buf.WriteString(text + clearLine + "\n")
	}
	s.buf.WriteString(clearBelow)
	s.drawn = len(lines)
	_, _ = s.out.Write(s.buf.Bytes()) // a terminal that is gone shows nothing
}

// cut keeps a line within the columns: one that wraps would move everything below it.
func cut(text string, columns int) string {
	used := 0
	for i, c := range text {
		used++
		if c >= firstWide {
			used++
		}
		if used >= columns {
			return text[:i]
		}
	}
	return text
}

// firstWide is the first character that may take two columns; narrow ones beyond it only cost a little space.
const firstWide = 0x1100

// finish leaves the last frame where it is.
func (s *screen) finish() {
	if s.drawn > 0 {
		s.line(showCursor)
		s.drawn = 0
	}
}

func (s *screen) line(format string, args ...any) {
	fmt.Fprintf(s.out, format+"\n", args...) //nolint:errcheck // talk
}

// colored gives text a style where that is wanted.
func (s *screen) colored(st style, text string) string {
	if s.terminal == nil || !s.terminal.Color || st == plain {
		return text
	}
	return string(st) + text + reset
}

// table is the live status. It fits 80 columns.
func (s snapshot) table(phase string, made int64, running time.Duration) []styled {
	lines := []styled{{fmt.Sprintf("%s for %s, %d changes made", phase, running, made), strong}, {"", plain},
		{fmt.Sprintf("%-18s %10s %10s  %s", "SOURCE", "CAPTURED", "PER SECOND", "STATE"), faint}}
	for _, source := range s.sources {
		lines = append(lines, styled{fmt.Sprintf("%-18s %10d %10.1f  %s", source.Name, source.Log.Captured, source.Log.Rate, source.State), looks(source.State)})
		lines = append(lines, because(source.Error)...)
	}
	lines = append(lines, styled{"", plain},
		styled{fmt.Sprintf("%-16s %-16s %7s %6s %5s %6s %6s %s", "ROUTE", "FROM > TO", "APPLIED", "PARKED", "LAG", "P50", "P99", "STATE"), faint})
	for _, r := range s.routes {
		lag := "0"
		if r.LagEvents > 0 {
			lag = fmt.Sprintf("%d", r.LagEvents)
		}
		lines = append(lines, styled{fmt.Sprintf("%-16s %-16s %7d %6d %5s %6s %6s %s", r.ID, r.Source+" > "+r.Target, r.Counts.Applied, r.Counts.Parked, lag,
			ops.Seconds(r.LatencyP50), ops.Seconds(r.LatencyP99), r.State), looks(r.State)})
		lines = append(lines, because(r.Error)...)
	}
	return append(lines, styled{"", plain}, styled{"Ctrl-C stops the business, waits until everything has arrived, and compares.", faint})
}

func looks(state string) style {
	switch state {
	case ops.RouteDegraded, ops.RouteHalted, ops.RouteNeedsSync:
		return alarm
	}
	return plain
}

func because(f *ops.Fault) []styled {
	if f == nil {
		return nil
	}
	return []styled{{"  " + f.Text, alarm}}
}
