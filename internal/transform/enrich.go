package transform

import (
	"slices"
	"time"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/tablefile"
)

// Enrich takes fields from elsewhere, by a key that an expression makes of the record. Exactly one of SQL, HTTP, File and Entity says
// from where.
type Enrich struct {
	// By is the expression of the key.
	By     string      `json:"by"`
	SQL    *FromSQL    `json:"sql,omitempty"`
	HTTP   *FromHTTP   `json:"http,omitempty"`
	File   *FromFile   `json:"file,omitempty"`
	Entity *FromEntity `json:"entity,omitempty"`
	Take   []Taken     `json:"take"`
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
	// Query has the keys as its parameter $1: an array at PostgreSQL, a JSON array at SQLite. It may hold secrets.
	Query string `json:"-"`
	// Shown is the query as the configuration has it: with its references, and not with what they stand for.
	Shown string `json:"query"`
	// Key is the column of its result that has the key.
	Key string `json:"key"`
}

// FromHTTP asks for one key at a time.
type FromHTTP struct {
	// URL has the key where it says {key}. It may hold secrets.
	URL string `json:"-"`
	// Shown is the URL as the configuration has it: with its references, and not with what they stand for.
	Shown string `json:"url"`
	// At is where the record is in the answer: a path; "" = the answer itself.
	At string `json:"at,omitempty"`
	// Headers are sent along; they may hold secrets.
	Headers map[string]string `json:"-"`
	// AllowPrivate lets questions go to addresses that are not public, and without TLS.
	AllowPrivate bool `json:"allow_private,omitempty"`
}

// FromFile looks into a file, CSV or JSON, whose rows are in memory: see tablefile.Options.
type FromFile struct {
	Path   string        `json:"path"`
	Key    string        `json:"key,omitempty"`
	Reload time.Duration `json:"reload,omitempty"`
}

// FromEntity reads the record of another entity where its source has it, as it is at that moment.
type FromEntity struct {
	System string `json:"system"`
	Name   string `json:"name"`
}

// System is the system that is asked; "" where none of the configuration's is.
func (s *Enrich) System() string {
	switch {
	case s.SQL != nil:
		return s.SQL.System
	case s.Entity != nil:
		return s.Entity.System
	}
	return ""
}

// Table describes the file of the step.
func (s *Enrich) Table() tablefile.Options {
	o := tablefile.Options{Path: s.File.Path, Key: s.File.Key, Reload: s.File.Reload}
	for _, t := range s.Take {
		o.Columns = append(o.Columns, tablefile.Column{Name: t.From, Kind: t.kind(), Optional: true})
	}
	return o
}

// Taken is a field that is taken: a column of the result, or a path into the answer.
type Taken struct {
	From string `json:"from"`
	Output
	// Default takes the place of what is missing, where Missing says so.
	Default *Constant `json:"default,omitempty"`
}

// kind is what the field becomes.
func (t *Taken) kind() syncline.Kind {
	if t.Output.Kind == syncline.KindNull {
		return syncline.KindText
	}
	return t.Output.Kind
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
	from := 0
	for _, is := range []bool{s.SQL != nil, s.HTTP != nil, s.File != nil, s.Entity != nil} {
		if is {
			from++
		}
	}
	if from != 1 {
		return nil, syncline.Errorf(syncline.Fatal, "bad_step", "it needs one of sql, http, file and entity")
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
		t.Output.Kind = t.kind()
		if t.Default == nil {
			continue
		}
		if _, err := expression.Convert(t.Default.Value, syncline.KindNull, t.Output.Kind); err != nil {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "the default of %s: %v", t.Field, err)
		}
	}
	if s.File != nil { // a file that cannot be used is told before anything runs
		if _, err := tablefile.Open(s.Table()); err != nil {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%w", err)
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
