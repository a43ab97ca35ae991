package trial

import (
	"encoding/json"

	"syncline"
	"syncline/internal/document"
)

// View is an outcome for programs.
type View struct {
	Matched    bool              `json:"matched"`
	Conditions []ConditionView   `json:"conditions"`
	Input      json.RawMessage   `json:"input"`
	Steps      []StepView        `json:"steps"`
	Records    []json.RawMessage `json:"records"`
	Result     string            `json:"result"`
	// Code is of the error with which the record would be parked.
	Code string `json:"code,omitempty"`
}

// ConditionView is a condition and whether it holds.
type ConditionView struct {
	Condition string `json:"condition"`
	Holds     bool   `json:"holds"`
	Error     string `json:"error,omitempty"`
}

// StepView is what there is after a step, and what it changed of the record, a line for each field.
type StepView struct {
	Step    int               `json:"step"`
	Kind    string            `json:"kind"`
	Records []json.RawMessage `json:"records"`
	Diff    []string          `json:"diff"`
	Error   string            `json:"error,omitempty"`
}

// View returns the outcome for programs.
func (o *Outcome) View() View {
	v := View{Matched: o.Matched, Conditions: []ConditionView{}, Input: encoded(o.Input), Steps: []StepView{}, Records: all(o.Records), Result: o.Result()}
	if o.Err != nil {
		v.Code = syncline.CodeOf(o.Err)
	}
	for _, c := range o.Checks {
		one := ConditionView{Condition: c.What, Holds: c.Holds}
		if c.Err != nil {
			one.Error = c.Err.Error()
		}
		v.Conditions = append(v.Conditions, one)
	}
	was := o.Input
	for _, s := range o.Steps {
		one := StepView{Step: s.Step, Kind: s.Kind, Records: all(s.Records), Diff: []string{}}
		if s.Err != nil {
			one.Error = s.Err.Error()
		}
		if len(s.Records) == 1 && was.Schema != nil {
			one.Diff = append(one.Diff, Diff(was, s.Records[0])...)
			was = s.Records[0]
		} else {
			was = syncline.Row{}
		}
		v.Steps = append(v.Steps, one)
	}
	return v
}

func all(rows []syncline.Row) []json.RawMessage {
	list := make([]json.RawMessage, len(rows))
	for i, r := range rows {
		list[i] = encoded(r)
	}
	return list
}

func encoded(r syncline.Row) json.RawMessage { return document.Append(nil, r) }
