package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
)

// visible is text that others may have made, as a terminal can be given it: what would steer the terminal, turn the direction of what is read,
// or begin another line or cell is written as an escape.
func visible(text string) string {
	if !strings.ContainsFunc(text, steers) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if steers(r) {
			escaped := fmt.Sprintf("%+q", r)
			b.WriteString(strings.Trim(escaped, "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

var lineEnd = regexp.MustCompile(`\s*\n\s*`)

// oneLine is a fix for a cell of a table. Its SQL can have several lines, and does not run with escapes in their place.
func oneLine(fix string) string { return lineEnd.ReplaceAllString(fix, " ") }

func steers(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// screen writes lines to a terminal, whose text may be others'.
type screen struct{ io.Writer }

// Write implements io.Writer: a piece is some whole characters.
func (s screen) Write(p []byte) (int, error) {
	text := string(p)
	if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && steers(r) }) {
		lines := strings.Split(text, "\n")
		for i := range lines {
			lines[i] = visible(lines[i])
		}
		text = strings.Join(lines, "\n")
	}
	if _, err := io.WriteString(s.Writer, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// jsonScreen writes a JSON document to a terminal.
type jsonScreen struct{ io.Writer }

// Write implements io.Writer: a piece is a whole document.
func (s jsonScreen) Write(p []byte) (int, error) {
	if _, err := io.WriteString(s.Writer, escapeJSON(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// escapeJSON escapes in a JSON document what steers a terminal, and what YAML does not read. The encoder has escaped some of it; the rest can stand
// in texts only, where an escape means the same.
func escapeJSON(document []byte) string {
	var b strings.Builder
	for _, r := range string(document) {
		if r >= 0x7F && steers(r) || r == 0xFFFE || r == 0xFFFF {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
