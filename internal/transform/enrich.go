package transform

import (
	"slices"
	"time"

	"syncline"
	"syncline/internal/expression"
)

// Enrich takes fields from elsewhere, by a key that an expression makes of the record. Exactly one of SQL and HTTP says from where.
type Enrich struct {
	// By is the expression of the key.
	By   string    `json:"by"`
	SQL  *FromSQL  `json:"sql,omitempty"`
	HTTP *FromHTTP `json:"http,omitempty"`
	Take []Taken   `json:"take"`
	// Missing says what becomes of a record whose key finds nothing.
	Missing Missing `json:"missing"`
	// Down: what cannot be asked counts as missing, instead of being waited for.
	Down bool `json:"down,omitempty"`
	// Timeout bounds one question, TTL and Negative how long an answer counts, and that there is none; Size is how many are kept.
	Timeout  time.Duration `json:"-"`
	TTL      time.Duration `json:"-"`
	Negative time.Duration `json:"-"`
	Size     int           `json:"-"`
}

// FromSQL asks a database for all keys at once.
type FromSQL struct {
	System string `json:"system"`
	// Query has the keys as its parameter $1: an array at PostgreSQL, a JSON array at SQLite.
	Query string `json:"query"`
	// Key is the column of its result that has the key.
	Key string `json:"key"`
}

// FromHTTP asks for one key at a time.
type FromHTTP struct {
	// URL has the key where it says {key}.
	URL string `json:"url"`
	// At is where the record is in the answer: a path; "" = the answer itself.
	At string `json:"at,omitempty"`
	// Headers are sent along; they may hold secrets.
	Headers map[string]string `json:"-"`
	// AllowPrivate lets questions go to addresses that are not public, and without TLS.
	AllowPrivate bool `json:"allow_private,omitempty"`
}

// Taken is a field that is taken: a column of the result, or a path into the answer.
type Taken struct {
	From string `json:"from"`
	Output
	// Default takes the place of what is missing, where Missing says so.
	Default *Constant `json:"default,omitempty"`
}

// Missing is what becomes of a record whose key finds nothing.
type Missing string

// The policies: the fields are null or their defaults, the record is parked for a person, or it waits until there is something.
const (
	MissingNull    Missing = "null"
	MissingDefault Missing = "default"
	MissingReject  Missing = "reject"
	MissingWait    Missing = "wait"
)

// Kind is "enrich".
func (Enrich) Kind() string { return "enrich" }

// Outputs are the fields that it writes.
func (s Enrich) Outputs() []Output {
	list := make([]Output, len(s.Take))
	for i, t := range s.Take {
		list[i] = t.Output
	}
	return list
}

// enrich is a compiled Enrich.
type enrich struct {
	Enrich
	by *expression.Program
}

func (s Enrich) compile() (binder, error) {
	if (s.SQL == nil) == (s.HTTP == nil) {
		return nil, syncline.Errorf(syncline.Fatal, "bad_step", "it needs either sql or http")
	}
	by, err := expression.Compile(s.By)
	if err != nil {
		return nil, err
	}
	if err := some(len(s.Take)); err != nil {
		return nil, err
	}
	out := enrich{Enrich: s, by: by}
	out.Take = slices.Clone(s.Take)
	for i := range out.Take {
		t := &out.Take[i]
		if t.Output.Kind == syncline.KindNull {
			t.Output.Kind = syncline.KindText
		}
		if t.Default == nil {
			continue
		}
		if _, err := expression.Convert(t.Default.Value, syncline.KindNull, t.Output.Kind); err != nil {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "the default of %s: %v", t.Field, err)
		}
	}
	return out, checkOutputs(out.Outputs())
}

func (s enrich) bind(l *layout) error {
	if l.open && l.lacks(s.by) {
		return nil // the key's fields were not sent, and so is nothing that depends on them
	}
	key, err := s.by.Bind(l.view(), l.in)
	if err != nil {
		return err
	}
	return l.ask(s.Outputs(), key, l.reads(s.by))
}
