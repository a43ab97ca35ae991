package transform

import "syncline"

// Step is one step of a transform as it was declared. Each kind of step is a type with a file of its own.
type Step interface {
	// Kind is the step's name in the configuration.
	Kind() string
	compile() (binder, error)
}

// Pair names a field and what it is called afterwards.
type Pair struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Rename gives fields another name and leaves them where they are.
type Rename struct {
	Fields []Pair `json:"rename"`
}

// Map makes fields from others.
type Map struct {
	Fields []Mapping `json:"map"`
}

// Mapping adds the field To with the value of From, which goes away unless Keep is set.
type Mapping struct {
	Pair
	Keep bool `json:"keep"`
}

// Set gives fields the values of expressions; a field that is not there is added at the end.
type Set struct {
	Fields []Assignment `json:"set"`
}

// Assignment computes one field.
type Assignment struct {
	Field string `json:"field"`
	// Expression sees `after` as the steps before this one left it (the assignments of one Set all see the same record),
	// and `before` and `event` as the source sent them.
	Expression string `json:"expression"`
	// To is the kind of the result. KindNull leaves it to the expression: the kind that can be told from it, else text.
	To syncline.Kind `json:"kind,omitempty"`
}

// Drop removes fields.
type Drop struct {
	Fields []string `json:"drop"`
}

// Keep removes every other field.
type Keep struct {
	Fields []string `json:"keep"`
}

// Filter drops the records for which the expression is not true.
type Filter struct {
	When string `json:"filter"`
}

// Convert changes the kind of fields.
type Convert struct {
	Fields []Conversion `json:"convert"`
}

// Conversion turns one field into another kind, exactly or not at all.
type Conversion struct {
	Field string        `json:"field"`
	To    syncline.Kind `json:"kind"`
	// Default takes the place of a value that the kind cannot hold; nil = such a record is rejected.
	Default *Constant `json:"default,omitempty"`
}

// Constant is a value of the configuration: text, a number, a truth value or null.
type Constant struct{ syncline.Value }

// MarshalText writes kind and text, so that 1 and "1" differ.
func (c Constant) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (Rename) Kind() string  { return "rename" }
func (Map) Kind() string     { return "map" }
func (Set) Kind() string     { return "set" }
func (Drop) Kind() string    { return "drop" }
func (Keep) Kind() string    { return "keep" }
func (Filter) Kind() string  { return "filter" }
func (Convert) Kind() string { return "convert" }
