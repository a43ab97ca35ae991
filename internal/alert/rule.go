package alert

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/expression"
)

// Severity is how much a rule matters.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Spec is a rule as it is written.
type Spec struct {
	// Name is the rule's id; that of a built-in rule says that it is this one.
	Name string `json:"id"`
	// When is the condition, over signals and labels by their names.
	When string `json:"when"`
	// For is how long the condition holds before the rule fires.
	For      time.Duration `json:"for"`
	Severity Severity      `json:"severity"`
	// Repeat is how often is told that it still fires; 0 = never.
	Repeat time.Duration `json:"repeat"`
	// Send are the channels.
	Send []string `json:"send"`
	// Summary is what messages call it; "" = the built-in text, or the id.
	Summary string `json:"summary,omitempty"`
	Enabled bool   `json:"enabled"`
}

// Rule is a compiled Spec. It is used by one goroutine at a time.
type Rule struct {
	Spec
	when    *expression.Bound
	signals []string
}

// Compile checks the condition. The error is an *expression.Error.
func Compile(s Spec) (*Rule, error) {
	program, err := expression.CompileNames(s.When, Names())
	if err != nil {
		return nil, err
	}
	r := &Rule{Spec: s}
	names, _ := program.Columns()
	for _, n := range names {
		if known(n) != nil {
			r.signals = append(r.signals, n)
		}
	}
	slices.Sort(r.signals)
	if len(r.signals) == 0 {
		return nil, &expression.Error{Line: 1, Column: 1, Message: "the condition names no signal", Suggestion: "for instance lag_seconds > 300"}
	}
	if r.when, err = program.Bind(shape, shape); err != nil {
		return nil, fmt.Errorf("bind %s: %w", s.When, err)
	}
	// What it makes of numbers tells whether it is a condition; that it fails on these tells nothing.
	if v, err := r.when.Value(&expression.Input{After: sample}); err == nil && v.Kind() != syncline.KindBool && v.Kind() != syncline.KindNull {
		return nil, &expression.Error{Line: 1, Column: 1, Message: "the condition is neither true nor false", Suggestion: "compare it: " + r.signals[0] + " > 0"}
	}
	return r, nil
}

// Names lists what a condition can name: the signals and their labels.
func Names() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
		names = append(names, k.Labels...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Labels lists the labels that an alert can have.
func Labels() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Labels...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func known(name string) *Kind {
	for i := range kinds {
		if kinds[i].Name == name {
			return &kinds[i]
		}
	}
	return nil
}

// shape is the record that conditions are evaluated over: a column for each of Names.
var shape = func() *syncline.Schema {
	s := &syncline.Schema{Entity: "signals"}
	for _, n := range Names() {
		c := syncline.Column{Name: n, Kind: syncline.KindText, Type: "text", Nullable: true}
		if known(n) != nil {
			c.Kind, c.Type = syncline.KindFloat, "float8"
		}
		s.Columns = append(s.Columns, c)
	}
	return s
}()

// sample is a row of shape.
var sample = func() []syncline.Value {
	f := found{labels: make(map[string]string), values: make(map[string]float64)}
	for _, k := range kinds {
		f.values[k.Name] = 1
		for _, l := range k.Labels {
			f.labels[l] = "x"
		}
	}
	return f.row()
}()

// found is a part of the whole over which a condition holds.
type found struct {
	labels map[string]string
	// values are the signals that the condition names, as far as they are known.
	values map[string]float64
}

// evaluate returns where the condition holds, by the text of the labels. It is evaluated for each set of labels that the named signals
// have, but for those that another of the signals has more of: there, the one with fewer labels counts for all that have those, too.
func (r *Rule) evaluate(signals []Signal) (map[string]found, error) {
	g := gathering{by: make(map[string]map[string]float64), finer: make(map[string][]string)}
	for i := range signals {
		// What is no number is not known.
		if v := signals[i].Value; slices.Contains(r.signals, signals[i].Name) && !math.IsNaN(v) && !math.IsInf(v, 0) {
			g.add(&signals[i])
		}
	}
	g.compare()
	holds := make(map[string]found)
	looked := make(map[string]bool)
	for _, s := range g.signals {
		id := LabelText(s.Labels)
		if looked[id] || slices.ContainsFunc(g.finer[id], func(name string) bool { return name != s.Name }) {
			continue
		}
		looked[id] = true
		f := found{labels: s.Labels, values: g.values(s.Labels)}
		yes, err := r.when.True(&expression.Input{After: f.row()})
		if err != nil {
			return nil, err
		}
		if yes {
			holds[id] = f
		}
	}
	return holds, nil
}

// gathering are the signals that a condition names. There may be thousands of them, with few different sets of label names: each is looked
// for by the labels that it would have, and not among all.
type gathering struct {
	signals []*Signal
	// by are the values by the text of the labels, then by name.
	by map[string]map[string]float64
	// shapes are the sets of label names, those of few names first.
	shapes [][]string
	// finer are the names of the signals that have these labels and others besides, by the text of the labels.
	finer map[string][]string
}

func (g *gathering) add(s *Signal) {
	g.signals = append(g.signals, s)
	id := LabelText(s.Labels)
	if g.by[id] == nil {
		g.by[id] = make(map[string]float64)
	}
	if _, ok := g.by[id][s.Name]; !ok {
		g.by[id][s.Name] = s.Value
	}
	names := slices.Sorted(maps.Keys(s.Labels))
	if !slices.ContainsFunc(g.shapes, func(o []string) bool { return slices.Equal(o, names) }) {
		g.shapes = append(g.shapes, names)
	}
}

// compare finds out which labels are part of those of another signal.
func (g *gathering) compare() {
	slices.SortStableFunc(g.shapes, func(a, b []string) int { return len(a) - len(b) })
	for _, s := range g.signals {
		for _, shape := range g.shapes {
			if id, ok := labelsOf(s.Labels, shape); ok && len(shape) < len(s.Labels) && !slices.Contains(g.finer[id], s.Name) {
				g.finer[id] = append(g.finer[id], s.Name)
			}
		}
	}
}

// values are those of the signals whose labels are among these; of one name the value that has the most of them.
func (g *gathering) values(labels map[string]string) map[string]float64 {
	values := make(map[string]float64)
	for _, shape := range g.shapes {
		if id, ok := labelsOf(labels, shape); ok {
			maps.Copy(values, g.by[id])
		}
	}
	return values
}

// labelsOf is the text of those of the labels that have these names; ok is false where one is missing.
func labelsOf(labels map[string]string, names []string) (text string, ok bool) {
	part := make(map[string]string, len(names))
	for _, n := range names {
		v, ok := labels[n]
		if !ok {
			return "", false
		}
		part[n] = v
	}
	return LabelText(part), true
}

func (f *found) row() []syncline.Value {
	row := make([]syncline.Value, len(shape.Columns))
	for i := range shape.Columns {
		name := shape.Columns[i].Name
		row[i] = syncline.Null
		if v, ok := f.values[name]; ok {
			row[i] = syncline.Float(v)
		} else if v, ok := f.labels[name]; ok {
			row[i] = syncline.Text(v)
		}
	}
	return row
}

// within reports whether the labels are among the others.
func within(labels, others map[string]string) bool {
	for name, v := range labels {
		if other, ok := others[name]; !ok || other != v {
			return false
		}
	}
	return true
}

// LabelText is one text for each set of labels.
func LabelText(labels map[string]string) string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + "=" + plain(labels[name]))
	}
	return b.String()
}

// plain is text on one line that no control character is in.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == '\u2028' || r == '\u2029' || r == '\u0085' {
			return ' '
		}
		return r
	}, s)
}

// BySeverity orders the most severe first.
func BySeverity(a, b Severity) int {
	order := []Severity{Critical, Warning, Info}
	return cmp.Compare(slices.Index(order, a), slices.Index(order, b))
}
