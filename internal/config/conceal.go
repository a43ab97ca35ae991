package config

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A problem shows the line that it is on. Of a file that is YAML it shows what has been read as something that is no secret: keys, names, numbers,
// choices, expressions. The rest is hidden: secrets, URLs, and what nobody has read because its key is unknown, comes twice, or has a value of another
// shape.

// open notes that a scalar may be shown, unless it is hidden or looks like how to connect to something.
func (d *document) open(n *yaml.Node) {
	if _, known := d.scalars[n]; !known && !strings.Contains(n.Value, "://") && !passwordKeyword.MatchString(n.Value) {
		d.note(n, true)
	}
}

// hide notes that a scalar may not be shown, whoever reads it.
func (d *document) hide(n *yaml.Node) { d.note(n, false) }

// openKeys notes that the keys of a mapping may be shown.
func (v value) openKeys() {
	for i := 0; i < len(v.node.Content); i += 2 {
		if key := v.node.Content[i]; isName(key.Value) {
			v.doc.open(key)
		}
	}
}

func (d *document) note(n *yaml.Node, open bool) {
	if d.scalars == nil {
		d.scalars = make(map[*yaml.Node]bool)
	}
	d.scalars[n] = open
}

// comment is the end of a line that may be one. Of a text that has a # behind a blank it is that, too.
var comment = regexp.MustCompile(`(?:^|\s)#.*`)

// conceal replaces what may not be shown of the document's lines: hidden scalars. Where one is not spelled out it is everything up to whatever YAML has
// next, so that no escape, folding, tag or anchor has to be understood. What a caret points to stays in its column.
func (d *document) conceal() {
	lines := make([][]rune, len(d.lines))
	for i, line := range d.lines {
		lines[i] = []rune(line)
	}
	nodes := flatten(nil, d.root)
	for i, n := range nodes {
		if n.Kind != yaml.ScalarNode || d.scalars[n] || n.Value != "" && strings.Trim(blank(n.Value), referred) == "" {
			continue // a reference alone may be shown, too
		}
		if n.Line < 1 || n.Line > len(lines) {
			continue // an empty one, behind the text
		}
		begin := min(max(n.Column-1, 0), len(lines[n.Line-1]))
		endLine, end := len(lines), math.MaxInt
		if size := spelledOut(n, lines[n.Line-1][begin:]); size >= 0 {
			endLine, end = n.Line, begin+size
		} else if i+1 < len(nodes) {
			endLine, end = min(nodes[i+1].Line, len(lines)), nodes[i+1].Column-1
		}
		for l, from := n.Line, begin; l <= endLine; l, from = l+1, 0 {
			to := len(lines[l-1])
			if l == endLine {
				to = min(to, end)
			}
			for c := from; c < to; c++ {
				if lines[l-1][c] != ' ' {
					lines[l-1][c] = '*'
				}
			}
		}
	}
	for i, line := range lines {
		d.lines[i] = masked(comment.ReplaceAllString(string(line), ""))
	}
}

// spelledOut returns how many characters of the line the scalar takes, with its quotes, where they are its text as it is; else -1.
func spelledOut(n *yaml.Node, line []rune) int {
	raw := n.Value
	switch n.Style {
	case yaml.SingleQuotedStyle:
		raw = "'" + raw + "'"
	case yaml.DoubleQuotedStyle:
		raw = `"` + raw + `"`
	case 0:
	default:
		return -1
	}
	if n.Anchor != "" || !strings.HasPrefix(string(line), raw) {
		return -1
	}
	return utf8.RuneCountInString(raw)
}

// flatten returns the node and all below it, in the order of the text.
func flatten(all []*yaml.Node, n *yaml.Node) []*yaml.Node {
	if n == nil {
		return all
	}
	all = append(all, n)
	for _, c := range n.Content {
		all = flatten(all, c)
	}
	return all
}

// said quotes a text for a message, as far as it can be no secret: not a URL, nor a key with its value where the blank between them is missing.
func said(text string) string {
	if !isName(text) {
		return `"…"`
	}
	short := []rune(text)
	if len(short) > 60 {
		short = append(short[:60], '…')
	}
	return strconv.Quote(string(short))
}

func isName(text string) bool { return !strings.ContainsAny(text, ":@=") }
