package trial

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"syncline"
	"syncline/internal/document"
)

// View is an outcome for programs.
type View struct {
	Matched    bool            `json:"matched"`
	Conditions []ConditionView `json:"conditions"`
	Input      json.RawMessage `json:"input"`
	// InputText is Input for people: it tells text from what only looks like it, and shows what was not sent.
	InputText string            `json:"input_text"`
	Steps     []StepView        `json:"steps"`
	Records   []json.RawMessage `json:"records"`
	Result    string            `json:"result"`
	// Text are the records for people.
	Text []string `json:"text"`
	// Code is of the error with which the record would be parked.
	Code string `json:"code,omitempty"`
}

// ConditionView is a condition and whether it holds.
type ConditionView struct {
	Condition string `json:"condition"`
	Holds     bool   `json:"holds"`
	Error     string `json:"error,omitempty"`
}

// StepView is what there is after a step.
type StepView struct {
	Step    int               `json:"step"`
	Kind    string            `json:"kind"`
	Records []json.RawMessage `json:"records"`
	// Text is what the step changed, a line for each field, or the records where there is more than one.
	Text  []string `json:"text"`
	Error string   `json:"error,omitempty"`
}

// View returns the outcome for programs.
func (o *Outcome) View() View {
	v := View{Matched: o.Matched, Conditions: []ConditionView{}, Input: encoded(o.Input), InputText: line(o.Input), Steps: []StepView{},
		Records: all(o.Records), Text: lines(o.Records), Result: o.Result()}
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
		one := StepView{Step: s.Step, Kind: s.Kind, Records: all(s.Records), Text: []string{}}
		switch {
		case s.Err != nil:
			one.Error = s.Err.Error()
		case len(s.Records) == 1 && was.Schema != nil:
			one.Text = append(one.Text, Diff(was, s.Records[0])...)
		default:
			one.Text = lines(s.Records)
		}
		if was = (syncline.Row{}); len(s.Records) == 1 {
			was = s.Records[0]
		}
		v.Steps = append(v.Steps, one)
	}
	return v
}

// WriteText writes the outcome for a person.
func (v *View) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "event      %s\n", v.InputText)
	for _, c := range v.Conditions {
		verdict := "holds"
		switch {
		case c.Error != "":
			verdict = "cannot be told: " + c.Error
		case !c.Holds:
			verdict = "does not hold"
		}
		fmt.Fprintf(&b, "condition  %s: %s\n", c.Condition, verdict)
	}
	for _, s := range v.Steps {
		fmt.Fprintf(&b, "step %-5d %s\n", s.Step, s.Kind)
		text := s.Text
		switch {
		case s.Error != "":
			text = []string{"! " + s.Error}
		case len(s.Records) == 0:
			text = []string{"the record is left out"}
		case len(text) == 0:
			text = []string{"nothing changes"}
		}
		for _, t := range text {
			b.WriteString("           " + t + "\n")
		}
	}
	b.WriteString("result     " + v.Result + "\n")
	for _, t := range v.Text {
		b.WriteString("           " + t + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteText writes the outcome for a person.
func (o *Outcome) WriteText(w io.Writer) error {
	v := o.View()
	return v.WriteText(w)
}

func lines(rows []syncline.Row) []string {
	list := make([]string, len(rows))
	for i, r := range rows {
		list[i] = line(r)
	}
	return list
}

func all(rows []syncline.Row) []json.RawMessage {
	list := make([]json.RawMessage, len(rows))
	for i, r := range rows {
		list[i] = encoded(r)
	}
	return list
}

func encoded(r syncline.Row) json.RawMessage { return document.Show(r) }
