// Package conflict decides what becomes of a change where the target may disagree with what the change assumes. It is pure: what the
// target holds and what is remembered of the record come in, what to write and to remember goes out. See DESIGN.md.
package conflict

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"syncline"
	"syncline/internal/expression"
)

// Detector is a way to find that the target disagrees.
type Detector string

const (
	// Version: the target has a newer version of the record than the event.
	Version Detector = "version"
	// Data: somebody else changed a field that the event changes too.
	Data Detector = "data"
	// Business: an expression of the user's says so.
	Business Detector = "business"
)

// Detectors are all of them, for messages.
var Detectors = []Detector{Version, Data, Business}

// Strategy resolves what was detected.
type Strategy string

const (
	// LastWriteWins compares (time, source, event id); the greater one wins.
	LastWriteWins Strategy = "last_write_wins"
	// SourcePriority compares the sources' places in Policy.Sources; of one source the later write wins.
	SourcePriority Strategy = "source_priority"
	// Merge resolves each field by a policy of its own; a field without one is put before a person.
	Merge Strategy = "merge"
	// Manual puts the record before a person.
	Manual Strategy = "manual"
)

// Strategies are all of them, for messages.
var Strategies = []Strategy{LastWriteWins, SourcePriority, Merge, Manual}

// FieldPolicy resolves one field that both sides changed.
type FieldPolicy string

const (
	FieldNewest     FieldPolicy = "newest"          // as LastWriteWins
	FieldPriority   FieldPolicy = "source_priority" // as SourcePriority
	FieldOurs       FieldPolicy = "ours"            // the source owns the field
	FieldTheirs     FieldPolicy = "theirs"          // the target owns the field
	FieldSum        FieldPolicy = "sum"             // both changes of a number are added up
	FieldUnion      FieldPolicy = "union"           // the elements of both JSON arrays, or the words of both texts
	FieldExpression FieldPolicy = "expression"
	FieldManual     FieldPolicy = "manual"
)

// FieldPolicies are those that stand for themselves, for messages.
var FieldPolicies = []FieldPolicy{FieldNewest, FieldPriority, FieldOurs, FieldTheirs, FieldSum, FieldUnion, FieldManual}

// Side is whose value stands where nothing tells.
type Side string

const (
	Ours   Side = "ours"
	Theirs Side = "theirs"
	Ask    Side = "conflict"
)

// Sides are all of them, for messages.
var Sides = []Side{Ours, Theirs, Ask}

// Field is how a field is resolved.
type Field struct {
	Policy FieldPolicy `json:"policy"`
	// Expression is over event, ours and theirs, for FieldExpression.
	Expression string `json:"expression,omitempty"`
	// Sources are those of FieldPriority, the best first; empty = the policy's.
	Sources []string `json:"sources,omitempty"`
}

// Condition is a business rule: an expression over event, ours and theirs that is true where the two must not be brought together
// without a decision. It is judged only where both have the record.
type Condition struct {
	Name string `json:"name"`
	When string `json:"when"`
}

// Policy is a rule's conflict section.
type Policy struct {
	Detect   []Detector       `json:"detect"`
	Strategy Strategy         `json:"strategy"`
	Fields   map[string]Field `json:"fields,omitempty"`
	// Sources are systems, the best first. The target's own name stands for whoever writes it beside us; what is not named comes last.
	Sources []string `json:"sources,omitempty"`
	// TimeField and VersionField are fields of the record as the target has it: when it was changed last, and its version.
	TimeField    string `json:"time_field,omitempty"`
	VersionField string `json:"version_field,omitempty"`
	// NoBase is whose value stands where the target has a record that no decision was made about yet, and the event does not tell what
	// it replaces. "" = Ours.
	NoBase Side `json:"no_base,omitempty"`
	// Deleted is whose will is done where one side deleted the record and the other changed it. "" = as the strategy says.
	Deleted  Side        `json:"deleted,omitempty"`
	Business []Condition `json:"business,omitempty"`
}

// Compiled is a checked policy. From its first Bind on it is immutable and safe for concurrent use.
type Compiled struct {
	Policy
	// Documents: the target holds documents, which have one null for that of a JSON column and for none at all.
	Documents bool

	target   string
	business []*expression.Program
	fields   map[string]*expression.Program
}

// Compile checks the policy of a rule into the target system. A bad one has the code bad_conflict; a bad expression is an
// *expression.Error inside it.
func Compile(p Policy, target string) (*Compiled, error) {
	c := &Compiled{Policy: p, target: target, fields: map[string]*expression.Program{}}
	bad := func(format string, args ...any) error {
		return syncline.Errorf(syncline.Fatal, "bad_conflict", format, args...)
	}
	switch {
	case len(p.Detect) == 0:
		return nil, bad("a conflict section needs detect, a list of version, data and business")
	case !slices.Contains(Strategies, p.Strategy):
		return nil, bad("there is no strategy %q", p.Strategy)
	case p.Strategy == SourcePriority && len(p.Sources) == 0:
		return nil, bad("source_priority needs sources, the best first")
	case slices.Contains(p.Detect, Business) != (len(p.Business) > 0):
		return nil, bad("detect: business and business rules go together")
	}
	for _, b := range p.Business {
		program, err := expression.CompileSides(b.When, "ours", "theirs")
		if err != nil {
			return nil, bad("business rule %s: %w", b.Name, err)
		}
		c.business = append(c.business, program)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
		f := p.Fields[name]
		switch {
		case f.Policy == FieldExpression:
			program, err := expression.CompileSides(f.Expression, "ours", "theirs")
			if err != nil {
				return nil, bad("field %s: %w", name, err)
			}
			c.fields[name] = program
		case !slices.Contains(FieldPolicies, f.Policy):
			return nil, bad("field %s: there is no policy %q", name, f.Policy)
		case f.Policy == FieldPriority && len(f.Sources) == 0 && len(p.Sources) == 0:
			return nil, bad("field %s: source_priority needs sources, the best first", name)
		}
	}
	return c, nil
}

// Resolver is a policy bound to the shape of the records that a rule writes. It is used by one goroutine at a time.
type Resolver struct {
	*Compiled
	schema   *syncline.Schema
	key      []bool       // by column
	names    []nameDigest // the same
	fields   []field
	time     int // columns, -1 = none
	version  int
	business []*expression.Bound
	turn     *Turn // the last one, whose memory the next one uses
}

// field is the policy of a column; an empty one is the strategy's.
type field struct {
	Field
	expression *expression.Bound
}

// holds reports whether what the target has in a column is v, as far as the target can tell.
func (r *Resolver) holds(column int, has, v syncline.Value) bool {
	k := r.schema.Columns[column].Kind
	switch {
	case syncline.Equal(has, v):
		return true
	case has.IsNull():
		return r.Documents && v.Kind() == syncline.KindJSON && string(bytes.TrimSpace(v.Bytes())) == "null"
	case has.IsUnset() || v.IsUnset():
		return false
	}
	return (has.Kind() != k || v.Kind() != k) && syncline.Alike(has, v)
}

// Bind prepares the policy for records of the schema. A field that it names and the schema lacks is a fatal error, unless records have
// the fields that they have (expression.Open).
func (c *Compiled) Bind(s *syncline.Schema) (*Resolver, error) {
	r := &Resolver{Compiled: c, schema: s, key: make([]bool, len(s.Columns)), fields: make([]field, len(s.Columns)), time: -1, version: -1}
	for _, k := range s.Key {
		r.key[k] = true
	}
	var err error
	if r.names, err = digests(s); err != nil {
		return nil, err
	}
	column := func(what, name string) (int, error) {
		at := s.Index(name)
		if at < 0 && !expression.Open(s) {
			return -1, syncline.Errorf(syncline.Fatal, "unknown_column", "conflict: %s names %s, which the record does not have", what, name).
				WithFix("it has %s", names(s))
		}
		return at, nil
	}
	if c.TimeField != "" {
		if r.time, err = column("time_field", c.TimeField); err != nil {
			return nil, err
		}
	}
	if c.VersionField != "" {
		if r.version, err = column("version_field", c.VersionField); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		at, err := column("fields", name)
		if err != nil {
			return nil, err
		}
		if at < 0 {
			continue
		}
		if r.key[at] {
			return nil, syncline.Errorf(syncline.Fatal, "bad_conflict", "conflict: %s is part of the key, which both sides have in common", name)
		}
		if k := s.Columns[at].Kind; c.Fields[name].Policy == FieldSum && !expression.Open(s) && !exact(k) {
			return nil, syncline.Errorf(syncline.Fatal, "bad_conflict", "conflict: %s is %s, and only whole and decimal numbers can be added up exactly", name, k).
				WithFix("use another policy, or convert the field to decimal in the rule's transform")
		}
		r.fields[at].Field = c.Fields[name]
		if program := c.fields[name]; program != nil {
			if r.fields[at].expression, err = program.Bind(s, s); err != nil {
				return nil, fmt.Errorf("conflict: field %s: %w", name, err)
			}
		}
	}
	for i, program := range c.business {
		b, err := program.Bind(s, s)
		if err != nil {
			return nil, fmt.Errorf("conflict: business rule %s: %w", c.Business[i].Name, err)
		}
		r.business = append(r.business, b)
	}
	return r, nil
}

func names(s *syncline.Schema) string {
	list := make([]string, 0, len(s.Columns))
	for i := range s.Columns {
		list = append(list, s.Columns[i].Name)
	}
	slices.Sort(list)
	return fmt.Sprint(list)
}

// exact reports whether values of the kind add up exactly.
func exact(k syncline.Kind) bool {
	return k == syncline.KindInt || k == syncline.KindUint || k == syncline.KindDecimal
}

func (c *Compiled) detects(d Detector) bool { return slices.Contains(c.Detect, d) }

// VersionOf returns the record's version by the policy's version field; 0 = none.
func (r *Resolver) VersionOf(values []syncline.Value) int64 {
	if r.version < 0 || values == nil {
		return 0
	}
	n, err := values[r.version].AsInt()
	if err != nil {
		return 0
	}
	return n
}
