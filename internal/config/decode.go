package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds the nodes looked at, aliases counted each time they are used, so that a small file cannot unfold into
// an endless one.
const maxNodes = 200_000

// document is one file.
type document struct {
	name string
	// dir is what relative paths in the file are relative to.
	dir   string
	lines []string
	// root is what the file holds, nil where it is not YAML; scalars are those of which it is known whether they may be shown.
	root    *yaml.Node
	scalars map[*yaml.Node]bool
}

// value is a node and where it was found.
type value struct {
	node *yaml.Node
	doc  *document
	path string
}

func (v value) child(n *yaml.Node, path string) value { return value{n, v.doc, path} }

func (v value) field(key string) string {
	if !isName(key) {
		key = "…"
	}
	if v.path == "" {
		return key
	}
	return v.path + "." + key
}

// at returns the place in the file of a character of a scalar's text (both counted from 1), or of the scalar as a whole
// where escapes or folding hide it.
func (v value) at(line, column int) (int, int) {
	n := v.node
	text := strings.Split(n.Value, "\n")
	if line < 1 || line > len(text) || column < 1 {
		return n.Line, n.Column
	}
	l, c := n.Line, n.Column+column-1
	switch {
	case n.Style&yaml.LiteralStyle != 0 && n.Line < len(v.doc.lines):
		first := v.doc.lines[n.Line]
		l, c = n.Line+line, len(first)-len(strings.TrimLeft(first, " "))+column
	case line > 1 || n.Style&yaml.FoldedStyle != 0:
		return n.Line, n.Column
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		c++
	}
	want := []rune(text[line-1])
	if l > len(v.doc.lines) || column > len(want) {
		return l, min(c, v.lineEnd(l))
	}
	if have := []rune(v.doc.lines[l-1]); c > len(have) || have[c-1] != want[column-1] {
		return n.Line, n.Column
	}
	return l, c
}

func (v value) lineEnd(line int) int {
	if line < 1 || line > len(v.doc.lines) {
		return 1
	}
	return len([]rune(v.doc.lines[line-1])) + 1
}

// decoder reads nodes strictly and collects what is wrong.
type decoder struct {
	env      func(string) (string, bool)
	problems Problems
	nodes    int
	// resolved are the texts that references stand for, but for defaults, which are in the file, and how they are written, by turns.
	resolved []string
}

func (d *decoder) report(v value, code Code, suggestion, format string, args ...any) {
	d.reportAt(v, v.node.Line, v.node.Column, code, suggestion, format, args...)
}

func (d *decoder) reportAt(v value, line, column int, code Code, suggestion, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: v.doc.name, Line: line, Column: column, Code: code, Path: v.path,
		Message: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

// enter follows aliases and counts the node. It is false once the document is too large; only the first time is reported.
func (d *decoder) enter(v *value) bool {
	for v.node.Kind == yaml.AliasNode {
		v.node = v.node.Alias
	}
	d.nodes++
	if d.nodes == maxNodes+1 {
		d.report(*v, TooLarge, "use fewer aliases, or fewer entries", "more than %d nodes", maxNodes)
	}
	return d.nodes <= maxNodes
}

// fields are the keys that a mapping may have and what reads each.
type fields map[string]func(value)

// notYet are keys that a later version reads.
type notYet []string

// object reads a mapping with fixed keys and returns the values that it has.
func (d *decoder) object(v value, what string, known fields, later notYet) map[string]value {
	seen := map[string]value{}
	d.entries(v, what, func(key, val value) {
		name := key.node.Value
		read, ok := known[name]
		switch {
		case slices.Contains(later, name):
			d.report(key, NotAvailable, "remove it", "%s is not available in this version", name)
		case !ok:
			names := make([]string, 0, len(known))
			for k := range known {
				names = append(names, k)
			}
			slices.Sort(names)
			d.report(key, UnknownKey, suggestName(name, names), "%s has no key %s", what, said(name))
		default:
			seen[name] = val
			read(val)
		}
	})
	return seen
}

// entries reads a mapping whose keys are names, each once. An empty value (`lead:`) counts as an empty mapping.
func (d *decoder) entries(v value, what string, each func(key, val value)) {
	if !d.enter(&v) || v.node.Tag == "!!null" {
		return
	}
	if v.node.Kind != yaml.MappingNode {
		d.report(v, WrongType, "", "%s must be a mapping, not %s", what, typeName(v.node))
		return
	}
	v.openKeys()
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.child(v.node.Content[i], v.path)
		if !d.enter(&key) {
			return
		}
		if key.node.Kind != yaml.ScalarNode {
			d.report(key, WrongType, "", "a key must be text, not %s", typeName(key.node))
			continue
		}
		name := key.node.Value
		if was, ok := first[name]; ok {
			d.report(key, DuplicateKey, "", "%s is already given in line %d", said(name), was.Line)
			continue
		}
		first[name] = key.node
		key.path = v.field(name)
		val := v.child(v.node.Content[i+1], key.path)
		for val.node.Kind == yaml.AliasNode {
			val.node = val.node.Alias
		}
		each(key, val)
	}
}

// list reads a sequence; a single value counts as a sequence of one where single is set.
func (d *decoder) list(v value, what string, single bool, each func(value)) {
	if !d.enter(&v) {
		return
	}
	if v.node.Kind == yaml.ScalarNode && single && v.node.Tag != "!!null" {
		each(v)
		return
	}
	if v.node.Kind != yaml.SequenceNode {
		d.report(v, WrongType, "", "%s must be a list, not %s", what, typeName(v.node))
		return
	}
	for i, n := range v.node.Content {
		if d.nodes > maxNodes {
			return
		}
		item := v.child(n, v.path+"["+strconv.Itoa(i)+"]")
		for item.node.Kind == yaml.AliasNode {
			item.node = item.node.Alias
		}
		each(item)
	}
}

// scalar returns a scalar's text with its references resolved. typed tells that YAML takes the text for something other
// than text.
func (d *decoder) scalar(v value, want string) (text string, typed, ok bool) {
	if !d.enter(&v) {
		return "", false, false
	}
	if v.node.Kind != yaml.ScalarNode || v.node.Tag == "!!null" {
		d.report(v, WrongType, "", "%s must be %s, not %s", v.path, want, typeName(v.node))
		return "", false, false
	}
	v.doc.open(v.node)
	if v.node.Tag != "!!str" {
		return v.node.Value, true, true
	}
	text, ok = d.expand(v)
	return text, false, ok
}

func (d *decoder) text(v value) (string, bool) {
	text, typed, ok := d.scalar(v, "text")
	if ok && typed {
		d.report(v, WrongType, "put it in quotes", "%s must be text, not %s", v.path, typeName(v.node))
		return "", false
	}
	if ok && text == "" {
		d.report(v, BadValue, "", "%s must not be empty", v.path)
		return "", false
	}
	return text, ok
}

func (d *decoder) boolean(v value, dst *bool) {
	text, _, ok := d.scalar(v, "true or false")
	if !ok {
		return
	}
	switch text {
	case "true", "false":
		*dst = text == "true"
	default:
		d.report(v, WrongType, "true or false", "%s must be true or false, not %s", v.path, typeName(v.node))
	}
}

func (d *decoder) integer(v value, dst *int, least, most int) {
	text, _, ok := d.scalar(v, "a whole number")
	if !ok {
		return
	}
	n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
	switch {
	case err != nil:
		d.report(v, WrongType, "", "%s must be a whole number, not %s", v.path, typeName(v.node))
	case n < least || n > most:
		d.report(v, BadValue, "", "%s must be from %d to %d", v.path, least, most)
	default:
		*dst = n
	}
}

func (d *decoder) duration(v value, dst *time.Duration, least time.Duration) {
	text, _, ok := d.scalar(v, "a duration")
	if !ok {
		return
	}
	t, err := parseDuration(text)
	switch {
	case err != nil:
		d.report(v, BadDuration, "a number with a unit: 50ms, 30s, 5m, 24h, 7d", "%s must be a duration", v.path)
	case t < least:
		d.report(v, BadDuration, "", "%s must be at least %s", v.path, least)
	default:
		*dst = t
	}
}

func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// units of sizes; the longer suffix of two comes first.
var units = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

func (d *decoder) size(v value, dst *int64, least int64) {
	text, _, ok := d.scalar(v, "a size")
	if !ok {
		return
	}
	n, ok := parseSize(text)
	switch {
	case !ok:
		d.report(v, BadSize, "a number with a unit: 512MiB, 20GB", "%s must be a size", v.path)
	case n < least:
		d.report(v, BadSize, "", "%s must be at least %s", v.path, formatSize(least))
	default:
		*dst = n
	}
}

// formatSize writes a size in the largest unit that it is a multiple of.
func formatSize(n int64) string {
	best := units[len(units)-1]
	for _, u := range units {
		if u.bytes > best.bytes && math.Mod(float64(n), u.bytes) == 0 {
			best = u
		}
	}
	return strconv.FormatInt(n/int64(best.bytes), 10) + best.suffix
}

func parseSize(text string) (int64, bool) {
	scale := 1.0
	for _, u := range units {
		if len(text) > len(u.suffix) && strings.EqualFold(text[len(text)-len(u.suffix):], u.suffix) {
			text, scale = strings.TrimSpace(text[:len(text)-len(u.suffix)]), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.ContainsAny(text, "xXpPeE+-_") || !(n*scale < math.MaxInt64) {
		return 0, false
	}
	return int64(n * scale), true
}

// choose reads one of a few names.
func choose[T ~string](d *decoder, v value, dst *T, later []T, allowed ...T) {
	text, _, ok := d.scalar(v, "text")
	if !ok {
		return
	}
	switch {
	case slices.Contains(allowed, T(text)):
		*dst = T(text)
	case slices.Contains(later, T(text)):
		d.report(v, NotAvailable, oneOf(namesOf(allowed)), "%s: %s is not available in this version", v.path, text)
	default:
		d.report(v, BadValue, suggestName(text, namesOf(allowed)), "%s cannot be %s", v.path, v.shown())
	}
}

func namesOf[T ~string](list []T) []string {
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = string(n)
	}
	return names
}

// shown is a scalar as it stands in the file, before references are resolved, for messages.
func (v value) shown() string { return said(v.node.Value) }

func typeName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	case "!!timestamp":
		return "a date"
	}
	return "text"
}

func (d *decoder) isMapping(v value) bool { return v.node.Kind == yaml.MappingNode }
