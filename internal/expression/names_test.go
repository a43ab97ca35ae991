package expression_test

import (
	"errors"
	"testing"

	"syncline"
	"syncline/internal/expression"
)

// TestNamesStandForThemselves: over a record without a name its fields are written bare, null is as everywhere, and what is none is named
// with its place.
func TestNamesStandForThemselves(t *testing.T) {
	schema := &syncline.Schema{Entity: "signals", Columns: []syncline.Column{{Name: "lag", Type: "float8", Kind: syncline.KindFloat}, {Name: "route", Type: "text", Kind: syncline.KindText}}}
	row := func(lag syncline.Value) *expression.Input {
		return &expression.Input{After: []syncline.Value{lag, syncline.Text("a")}}
	}
	for text, want := range map[string]bool{
		"lag > 300":                     true,
		`lag > 300 && route != "a"`:     false,
		`let x = lag / 2; x > 200`:      true,
		`lag != nil && lag in 400..600`: true,
	} {
		p, err := expression.CompileNames(text, []string{"lag", "route"})
		if err != nil {
			t.Errorf("CompileNames(%s) = %v", text, err)
			continue
		}
		b, err := p.Bind(schema, schema)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.True(row(syncline.Float(512))); got != want || err != nil {
			t.Errorf("%s = %v, %v, want %v", text, got, err, want)
		}
		if got, err := b.True(row(syncline.Null)); got || err != nil {
			t.Errorf("%s over nothing = %v, %v, want false", text, got, err)
		}
	}
	for text, want := range map[string]struct {
		unknown string
		column  int
	}{
		"lag > 1 && lagg > 3": {"lagg", 12},
		"after.lag > 3":       {"", 1},
		"nosuch(lag)":         {"", 7},
		"lag >":               {"", 5},
	} {
		_, err := expression.CompileNames(text, []string{"lag", "route"})
		var e *expression.Error
		if !errors.As(err, &e) || e.Unknown != want.unknown || text != "nosuch(lag)" && e.Column != want.column {
			t.Errorf("CompileNames(%s) = %v (%+v), want the unknown name %q at %d", text, err, e, want.unknown, want.column)
		}
	}
}
