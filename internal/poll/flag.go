package poll

import (
	"strings"

	"syncline"
)

// Flag is a field that says something of its record by its value.
type Flag struct {
	Field string
	// Value is the one that says it; nil = any that is neither null, false, zero nor empty.
	Value *string
}

// Is reports whether the row says so. A row without the field does not.
func (f *Flag) Is(s *syncline.Schema, row []syncline.Value) bool {
	if f == nil {
		return false
	}
	at := s.Index(f.Field)
	if at < 0 {
		return false
	}
	v := row[at]
	if v.IsNull() || v.IsUnset() {
		return false
	}
	if f.Value == nil {
		return says(v)
	}
	if v.Kind() == syncline.KindBool {
		return truth(*f.Value) == v.Text()
	}
	return v.Text() == *f.Value || syncline.Equal(v, syncline.Decimal(*f.Value)) && number(v.Kind())
}

func number(k syncline.Kind) bool {
	switch k {
	case syncline.KindInt, syncline.KindUint, syncline.KindDecimal, syncline.KindFloat:
		return true
	}
	return false
}

func says(v syncline.Value) bool {
	switch {
	case v.Kind() == syncline.KindBool:
		return v.Text() == "true"
	case number(v.Kind()):
		return !syncline.Equal(v, syncline.Int(0))
	}
	return len(v.Bytes()) > 0
}

// truth is the text that a value of a bool has for what people write for it.
func truth(text string) string {
	switch strings.ToLower(text) {
	case "true", "t", "1", "yes", "y", "on":
		return "true"
	case "false", "f", "0", "no", "n", "off":
		return "false"
	}
	return text
}
