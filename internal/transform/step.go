package transform

import (
	"time"

	"syncline"
)

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

// Mapping adds the field To with the value of From, which goes away unless Keep is set. From can be a part of a JSON column
// (`address.city`), and so can To, whose column is made where there is none.
type Mapping struct {
	Pair
	Keep bool `json:"keep"`
	// Kind is what a part of a document becomes, KindNull: text; a whole field keeps its own kind without it.
	Kind syncline.Kind `json:"kind,omitempty"`
}

// Flatten makes fields of the parts of JSON columns, which go away unless Keep is set.
type Flatten struct {
	Fields []Flattening `json:"flatten"`
}

// Flattening is one column and what is taken from it.
type Flattening struct {
	Field string `json:"field"`
	Parts []Part `json:"parts"`
	Keep  bool   `json:"keep,omitempty"`
}

// Part is a part of a document and the field that it becomes.
type Part struct {
	Path string `json:"path"`
	To   string `json:"to"`
	// Kind is what it becomes, KindNull: text.
	Kind syncline.Kind `json:"kind,omitempty"`
}

// Nest makes JSON columns of fields, which go away unless Keep is set.
type Nest struct {
	Fields []Nesting `json:"nest"`
}

// Nesting is one document: a member for each field, in order, with its name there.
type Nesting struct {
	To      string `json:"to"`
	Members []Pair `json:"members"`
	Keep    bool   `json:"keep,omitempty"`
}

// Defaults gives a value to fields that are null or missing.
type Defaults struct {
	Fields []Filling `json:"default"`
}

// Filling is one field and what it has where it has nothing.
type Filling struct {
	Field string   `json:"field"`
	Value Constant `json:"value"`
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

// Split makes several records of one, its children: one for each element of a list. The steps behind it work on the children, and a target
// that holds records holds those of the newest list and no others.
type Split struct {
	Split Splitting `json:"split"`
}

// Splitting says what the children are. Their key is the record's own and behind it Key or Index.
type Splitting struct {
	// Field is the list: a JSON column or a part of one, or an array.
	Field string `json:"field"`
	// Fields are what a child takes of its element; the path "." is the element itself.
	Fields []Part `json:"fields,omitempty"`
	// Key is the field that tells the children apart; Index instead adds one with the place in the list, from 1.
	Key   string `json:"key,omitempty"`
	Index string `json:"index,omitempty"`
	// With are fields of the record that each child has too, beside its key.
	With []string `json:"with,omitempty"`
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
	// Default takes the place of a value that the kind cannot hold, if the policies say so; nil = such a record is rejected.
	Default *Constant `json:"default,omitempty"`
	// Invalid is for text that is not written as the kind is, Overflow for what is too large for it, or would lose something.
	// "" is PolicyDefault with a default, else PolicyReject; PolicyKeep is for neither.
	Invalid  Policy `json:"invalid,omitempty"`
	Overflow Policy `json:"overflow,omitempty"`
	// Layout is how a date or time is written (strftime's letters), and Zone is where clocks show a time that has no zone, or will.
	Layout string `json:"layout,omitempty"`
	Zone   string `json:"zone,omitempty"`
}

// Format writes fields as text.
type Format struct {
	Fields []Formatting `json:"format"`
}

// Formatting is how one field is written. What is set is done in the order of the fields below.
type Formatting struct {
	Field string `json:"field"`
	// Layout writes a date or time with strftime's letters. An instant is shown as clocks in Zone show it, "" = UTC.
	Layout string  `json:"layout,omitempty"`
	Zone   string  `json:"zone,omitempty"`
	Number *Number `json:"number,omitempty"`
	// Text are names of Texts.
	Text []string `json:"text,omitempty"`
	// Pattern has a # for each letter and digit of the text, all else of which goes: "(###) ###-####".
	Pattern string `json:"pattern,omitempty"`
	// Max cuts off what is behind so many characters; 0 = nothing.
	Max int `json:"max,omitempty"`
	// Pad fills up to so many characters with With, on the left unless Right is set.
	Pad   int    `json:"pad,omitempty"`
	With  string `json:"with,omitempty"`
	Right bool   `json:"right,omitempty"`
	// Invalid is for a value that cannot be written so; PolicyKeep leaves it as text.
	Invalid Policy    `json:"invalid,omitempty"`
	Default *Constant `json:"default,omitempty"`
}

// Number is how a number is written.
type Number struct {
	// Decimals are the places after the point, rounded half away from zero; -1 = as they are.
	Decimals int `json:"decimals"`
	// Group stands between thousands, Point before the decimals.
	Group string `json:"group,omitempty"`
	Point string `json:"point"`
}

// Calculate gives fields the numbers that expressions make, exact and rounded as declared.
type Calculate struct {
	Fields []Calculation `json:"calculate"`
}

// Calculation computes one field. The expression sees what that of an Assignment sees.
type Calculation struct {
	Field      string `json:"field"`
	Expression string `json:"expression"`
	// To is decimal (also KindNull), int, uint or float.
	To syncline.Kind `json:"kind,omitempty"`
	// Scale is how many places there are after the point; nil = as many as come out, for whole numbers 0.
	Scale *int     `json:"scale,omitempty"`
	Round Rounding `json:"round,omitempty"` // "" = RoundHalfUp
	// Precision bounds all digits, as in numeric(precision, scale); 0 = no bound.
	Precision int `json:"precision,omitempty"`
	// Invalid is for what has no result (division by zero, no number) or one that does not fit.
	Invalid Policy    `json:"invalid,omitempty"`
	Default *Constant `json:"default,omitempty"`
}

// Lookup gives fields what tables say of others.
type Lookup struct {
	Fields []LookupField `json:"lookup"`
}

// LookupField looks up one field: Table or File is set. Null has no entry: it stays null.
type LookupField struct {
	Field string     `json:"field"`
	From  string     `json:"from"`
	Table []Entry    `json:"table,omitempty"`
	File  *TableFile `json:"file,omitempty"`
	// To is the kind of the result, KindNull: that of the table's values, of a file text.
	To syncline.Kind `json:"kind,omitempty"`
	// Missing is for a value without an entry.
	Missing Policy    `json:"missing,omitempty"`
	Default *Constant `json:"default,omitempty"`
}

// Entry is a line of a table.
type Entry struct {
	Key   Constant `json:"key"`
	Value Constant `json:"value"`
}

// TableFile is a lookup file: JSON by its name's end, else CSV with a line of names.
type TableFile struct {
	Path string `json:"path"`
	// Key and Value name what is looked for and what is taken; CSV: "" = the first and the second column. JSON: a list of objects
	// needs both; in an object the names are the keys, and its values are taken, or what Value names of them.
	Key   string `json:"key,omitempty"`
	Value string `json:"value,omitempty"`
	// Reload is how often it is looked at, when a batch begins; 0 = 5 s.
	Reload time.Duration `json:"reload,omitempty"`
}

// Mask hides parts of texts.
type Mask struct {
	Fields []Masking `json:"mask"`
}

// Masking hides one field: all of it but its first and last characters, all but the first and the domain of an e-mail address, or, with
// Fixed, everything including its length.
type Masking struct {
	Field     string  `json:"field"`
	KeepFirst int     `json:"keep_first,omitempty"`
	KeepLast  int     `json:"keep_last,omitempty"`
	Email     bool    `json:"email,omitempty"`
	Fixed     *string `json:"fixed,omitempty"`
	// With is what a hidden character is shown as.
	With string `json:"with,omitempty"`
}

// Hash replaces fields by an HMAC-SHA256: equal values stay equal, and nobody without the key can tell or guess what they were.
type Hash struct {
	Fields []Hashing `json:"hash"`
}

// Hashing hashes one field.
type Hashing struct {
	Field string `json:"field"`
	// Key shows itself only to Reveal.
	Key interface{ Reveal() string } `json:"key"`
	// Base64 writes 43 characters of base64url instead of 64 hexadecimal digits.
	Base64 bool `json:"base64,omitempty"`
}

// Constant is a value of the configuration: text, a number, a truth value or null.
type Constant struct{ syncline.Value }

// MarshalText writes kind and text, so that 1 and "1" differ.
func (c Constant) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (Rename) Kind() string    { return "rename" }
func (Map) Kind() string       { return "map" }
func (Flatten) Kind() string   { return "flatten" }
func (Nest) Kind() string      { return "nest" }
func (Defaults) Kind() string  { return "default" }
func (Set) Kind() string       { return "set" }
func (Calculate) Kind() string { return "calculate" }
func (Drop) Kind() string      { return "drop" }
func (Keep) Kind() string      { return "keep" }
func (Filter) Kind() string    { return "filter" }
func (Convert) Kind() string   { return "convert" }
func (Format) Kind() string    { return "format" }
func (Lookup) Kind() string    { return "lookup" }
func (Mask) Kind() string      { return "mask" }
func (Hash) Kind() string      { return "hash" }
func (Split) Kind() string     { return "split" }
