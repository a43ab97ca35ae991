package transform

import (
	"errors"
	"time"

	"syncline"
	"syncline/internal/javascript"
)

// Script is a step in JavaScript: the body of a function of event, before and after, which returns the record, or null to leave it out.
type Script struct {
	Code string `json:"script"`
	// Fields are all that it may write. A field of a record that is not among them stays what it is, to the byte.
	Fields []Output `json:"fields"`
	// Timeout bounds the work on one record, Memory what its process may use, in bytes.
	Timeout time.Duration `json:"timeout"`
	Memory  int64         `json:"memory"`
	// BatchTimeout bounds the time for the records of one question: what is done by then goes on. 0 = 5 s.
	BatchTimeout time.Duration `json:"-"`
}

// Kind is "script".
func (Script) Kind() string { return "script" }

// Outputs are the fields that it writes.
func (s Script) Outputs() []Output { return s.Fields }

func (s Script) compile() (binder, error) {
	if _, err := javascript.Compile(s.Code); err != nil {
		var at *javascript.Error
		if errors.As(err, &at) {
			return nil, syncline.Errorf(syncline.Fatal, "bad_step", "line %d, column %d of the script: %s", at.Line, at.Column, at.Message)
		}
		return nil, err
	}
	return s, checkOutputs(s.Fields)
}

func (s Script) bind(l *layout) error {
	all := make([]int, len(l.fields))
	for i, f := range l.fields {
		all[i] = f.register
	}
	return l.ask(s.Fields, nil, all)
}
