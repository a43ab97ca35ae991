package javascript

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// Numbers keep their amount. One that a Number holds exactly is a Number, a larger integer is a BigInt, and any other number (more than
// about 15 digits with a point among them) is an object that shows its digits as a string and refuses to be calculated with, so that
// nothing is rounded in silence.

const (
	maxSafe   = 1 << 53
	maxNested = 100 // levels of a value
)

var errMalformed = errors.New("the record is no JSON")

func (s *run) arguments() (event, before goja.Value, after *goja.Object, err error) {
	if event, err = s.parse(s.task.Event); err != nil {
		return nil, nil, nil, err
	}
	before = goja.Null()
	if len(s.task.Before) > 0 {
		if before, err = s.parse(s.task.Before); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := s.record(); err != nil {
		return nil, nil, nil, err
	}
	return event, before, s.after, nil
}

// record makes the record that the script is given.
func (s *run) record() error {
	s.after, s.given, s.raw = s.rt.NewObject(), make(map[string]goja.Value), make(map[string][]byte)
	d := json.NewDecoder(bytes.NewReader(s.task.After))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errMalformed
	}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return errMalformed
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return errMalformed
		}
		v, err := s.parse(raw)
		if err != nil {
			return err
		}
		s.given[key], s.raw[key] = v, raw
		put(s.after, key, v)
	}
	for _, name := range s.task.Unset {
		if s.unsent == nil {
			s.unsent = make(map[string]bool)
		}
		s.unsent[name] = true
		get := s.rt.ToValue(func(goja.FunctionCall) goja.Value {
			if s.unset == "" {
				s.unset = name
			}
			panic(s.rt.NewTypeError("the field was not sent"))
		})
		set := s.rt.ToValue(func(c goja.FunctionCall) goja.Value {
			delete(s.unsent, name)
			put(s.after, name, c.Argument(0))
			return goja.Undefined()
		})
		if err := s.after.DefineAccessorProperty(name, get, set, goja.FLAG_TRUE, goja.FLAG_TRUE); err != nil {
			return err
		}
	}
	return nil
}

// put defines a property, whatever its name means to a prototype.
func put(o *goja.Object, key string, v goja.Value) {
	_ = o.DefineDataProperty(key, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE) // a plain object refuses none
}

// parse makes a value of JSON.
func (s *run) parse(raw []byte) (goja.Value, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return s.next(d, 0)
}

func (s *run) next(d *json.Decoder, depth int) (goja.Value, error) {
	t, err := d.Token()
	if err != nil || depth > maxNested {
		return nil, errMalformed
	}
	switch t := t.(type) {
	case nil:
		return goja.Null(), nil
	case bool:
		return s.rt.ToValue(t), nil
	case string:
		return s.rt.ToValue(t), nil
	case json.Number:
		return s.number(t.String()), nil
	case json.Delim:
		if t == '[' {
			var items []any
			for d.More() {
				v, err := s.next(d, depth+1)
				if err != nil {
					return nil, err
				}
				items = append(items, v)
			}
			_, err := d.Token()
			return s.rt.NewArray(items...), err
		}
		o := s.rt.NewObject()
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, errMalformed
			}
			v, err := s.next(d, depth+1)
			if err != nil {
				return nil, err
			}
			put(o, k.(string), v)
		}
		_, err := d.Token()
		return o, err
	}
	return nil, errMalformed
}

func (s *run) number(text string) goja.Value {
	if !strings.ContainsAny(text, ".eE") {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= -maxSafe && n <= maxSafe {
			return s.rt.ToValue(n)
		}
		if n, ok := new(big.Int).SetString(text, 10); ok {
			return s.rt.ToValue(n)
		}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && same(text, strconv.FormatFloat(f, 'e', -1, 64)) {
		return s.rt.ToValue(f)
	}
	return s.digits(text)
}

// same reports whether two texts are the same number.
func same(a, b string) bool {
	am, ae := significant(a)
	bm, be := significant(b)
	return am == bm && (ae == be || am == "" || am == "-")
}

// significant splits a number into its digits without zeros around, with the sign, and the exponent of the first one.
func significant(text string) (digits string, exponent int) {
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exponent, _ = strconv.Atoi(text[i+1:])
		text = text[:i]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	exponent += len(whole)
	all := whole + fraction
	trimmed := strings.TrimLeft(all, "0")
	exponent -= len(all) - len(trimmed)
	return sign + strings.TrimRight(trimmed, "0"), exponent
}

// digits makes the object of a number that no Number holds.
func (s *run) digits(text string) goja.Value {
	o := s.rt.NewObject()
	shown := s.rt.ToValue(text)
	show := s.rt.ToValue(func(goja.FunctionCall) goja.Value { return shown })
	_ = o.DefineDataProperty("toString", show, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	_ = o.DefineDataProperty("toJSON", show, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	_ = o.DefineDataPropertySymbol(goja.SymToPrimitive, s.rt.ToValue(func(c goja.FunctionCall) goja.Value {
		if c.Argument(0).String() == "string" {
			return shown
		}
		panic(s.rt.NewTypeError("a number with so many digits is no Number: String() shows them"))
	}), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	s.exact[o] = text
	return o
}
