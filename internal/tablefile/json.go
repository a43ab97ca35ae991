package tablefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"syncline"
	"syncline/internal/document"
)

// readJSON reads a list of objects with a key among their fields, or an object whose names are the keys and whose values are objects, or
// what is looked for itself.
func (r *reader) readJSON(data []byte) error {
	seen := make([]bool, len(r.Columns))
	count := 0
	row := func(place string, key syncline.Value, text json.RawMessage) error {
		values := make([]syncline.Value, len(r.Columns))
		for i, c := range r.Columns {
			part, ok := document.At(text, c.Name)
			if seen[i] = seen[i] || ok; !ok && !c.Optional {
				return fmt.Errorf("%s has no field %q", place, c.Name)
			}
			if !ok {
				values[i] = syncline.Null
				continue
			}
			var err error
			if values[i], err = document.ParseValue(&syncline.Column{}, part); err != nil {
				return fmt.Errorf("%s: %w", place, err)
			}
		}
		count++
		return r.add(place, key, values)
	}
	var list []json.RawMessage
	var object map[string]json.RawMessage
	switch {
	case json.Unmarshal(data, &list) == nil:
		for i, text := range list {
			place := fmt.Sprintf("entry %d", i+1)
			part, ok := document.At(text, r.Key)
			if !ok || r.Key == "" {
				return fmt.Errorf("%s has no field %q", place, r.Key)
			}
			key, err := document.ParseValue(&syncline.Column{}, part)
			if err != nil {
				return fmt.Errorf("%s: %w", place, err)
			}
			if err := row(place, key, text); err != nil {
				return err
			}
		}
	case json.Unmarshal(data, &object) == nil:
		for i, name := range slices.Sorted(maps.Keys(object)) {
			place := fmt.Sprintf("entry %d by name", i+1)
			var o map[string]json.RawMessage
			if r.Columns[0].Name != "" && (json.Unmarshal(object[name], &o) != nil || o == nil) {
				return fmt.Errorf("%s is no object", place)
			}
			if err := row(place, syncline.Text(name), object[name]); err != nil {
				return err
			}
		}
	default:
		return errors.New("it is neither a JSON object nor a list of objects")
	}
	for i, c := range r.Columns {
		if count > 0 && !seen[i] {
			return fmt.Errorf("no entry has a field %q", c.Name)
		}
	}
	return nil
}
