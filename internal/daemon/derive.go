package daemon

import (
	"fmt"

	"syncline"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/expression"
)

// derivations compiles what the source's entities say of their events.
func derivations(c *config.Capture) (map[string]capture.Derivation, error) {
	var all map[string]capture.Derivation
	for _, e := range c.Entities {
		d, err := derivationOf(e)
		if err != nil {
			return nil, fmt.Errorf("entity %s: %w", e.Name, err)
		}
		if d == nil {
			continue
		}
		if all == nil {
			all = make(map[string]capture.Derivation)
		}
		all[e.Name] = *d
	}
	return all, nil
}

func derivationOf(e *config.Entity) (*capture.Derivation, error) {
	if e.TypeWhen == nil && e.Priority == "" {
		return nil, nil
	}
	var failed error
	program := func(text string) *expression.Program {
		if text == "" {
			return nil
		}
		p, err := expression.Compile(text)
		if err != nil && failed == nil {
			failed = err
		}
		return p
	}
	d := &capture.Derivation{Priority: program(e.Priority)}
	if t := e.TypeWhen; t != nil {
		d.Archived, d.Merged = program(t.Archived), program(t.Merged)
		for _, text := range t.Into {
			d.Into = append(d.Into, program(text))
		}
	}
	return d, failed
}

// checkDerivation tells whether what an entity says of its events fits its columns.
func checkDerivation(sys *config.System, schema *syncline.Schema) []Finding {
	e := sys.Capture.Entity(schema.Entity)
	if e == nil {
		return nil
	}
	d, err := derivationOf(e)
	if d == nil && err == nil {
		return nil
	}
	if err == nil {
		err = d.Fit(schema)
	}
	if err != nil {
		f := syncline.Failure(err, "")
		f.What = "entity " + e.Name + ": type_when or priority does not fit: " + f.What
		return []Finding{tell(sys.Name, "", f)}
	}
	return nil
}
