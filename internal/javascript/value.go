package javascript

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/dop251/goja"

	"syncline/internal/document"
)

// Numbers keep their amount. One that a Number holds exactly is a Number, a larger integer is a BigInt, and any other number (more than
// about 15 digits with a point among them) is an object that shows its digits as a string and refuses to be calculated with, so that
// nothing is rounded in silence.

const (
	maxSafe   = 1 << 53
	maxResult = 16 << 20 // bytes of a result
	maxNested = 100      // levels of a value
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

// resultError is what is wrong with a script's result.
type resultError struct{ text string }

func (e *resultError) Error() string { return e.text }

func wrong(format string, args ...any) error { return &resultError{fmt.Sprintf(format, args...)} }

var promise = reflect.TypeFor[*goja.Promise]()

// result reads what the script returned.
func (s *run) result(v goja.Value) (Result, error) {
	if goja.IsNull(v) {
		return Result{Drop: true}, nil
	}
	o, ok := v.(*goja.Object)
	if v == nil || goja.IsUndefined(v) || !ok {
		return s.failed(wrong("it must return the record, or null to leave it out"))
	}
	if o.ExportType() == promise {
		return s.failed(wrong("it must return a record, not the promise of one"))
	}
	if o.ClassName() != "Object" || s.exact[o] != "" {
		return s.failed(wrong("it must return a record, not a value of class %s", class(o)))
	}
	res := Result{Values: make([][]byte, len(s.task.Fields))}
	declared := make(map[string]int, len(s.task.Fields))
	for i, f := range s.task.Fields {
		declared[f] = i
	}
	left := maxResult
	for _, key := range o.Keys() {
		if o == s.after && s.unsent[key] {
			continue
		}
		value := o.Get(key)
		at, may := declared[key]
		if !may {
			if err := s.untouched(key, value); err != nil {
				return s.failed(err)
			}
			continue
		}
		text, err := s.write(nil, value, 0, left)
		if err != nil {
			return s.failed(fmt.Errorf("field %s: %w", key, err))
		}
		if left -= len(text); left < 0 {
			return s.failed(errTooLarge)
		}
		if was, ok := s.given[key]; ok && s.isSame(was, value, text, key) {
			delete(declared, key)
			continue // nil: the very value
		}
		res.Values[at] = text
		delete(declared, key)
	}
	for key, at := range declared {
		if o == s.after && s.unsent[key] {
			continue
		}
		res.Values[at] = []byte("null")
	}
	return res, nil
}

// isSame reports whether a field still has the value that it had.
func (s *run) isSame(was, is goja.Value, text []byte, key string) bool {
	if _, nested := was.(*goja.Object); !nested {
		return was.SameAs(is) || was.StrictEquals(is)
	}
	if was != is {
		return false
	}
	fresh, err := s.parse(s.raw[key])
	if err != nil {
		return false
	}
	if _, exact := s.exact[was.(*goja.Object)]; exact {
		return true
	}
	before, err := s.write(nil, fresh, 0, maxResult)
	return err == nil && bytes.Equal(before, text)
}

// untouched returns an error where the script changed a field that it may not write.
func (s *run) untouched(key string, value goja.Value) error {
	was, ok := s.given[key]
	if ok {
		text, err := s.write(nil, value, 0, maxResult)
		if err == nil && s.isSame(was, value, text, key) {
			return nil
		}
	}
	if !ok && !s.unsent[key] && goja.IsUndefined(value) {
		return nil
	}
	shown := ""
	if len(key) <= 64 && ok {
		shown = " " + key
	}
	if !ok {
		return wrong("it writes a field that `fields` does not declare")
	}
	return wrong("it writes the field%s, which `fields` does not declare", shown)
}

var errTooLarge = wrong("the result has more than %d bytes", maxResult)

// write appends the value as JSON, left bytes at most.
func (s *run) write(dst []byte, v goja.Value, depth, left int) ([]byte, error) {
	if len(dst) > left {
		return nil, errTooLarge
	}
	if depth > maxNested {
		return nil, wrong("the value has more than %d levels, or refers to itself", maxNested)
	}
	if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
		return append(dst, "null"...), nil
	}
	o, ok := v.(*goja.Object)
	if !ok {
		return writeSimple(dst, v)
	}
	if text, ok := s.exact[o]; ok {
		return append(dst, text...), nil
	}
	switch o.ClassName() {
	case "Array":
		n := int(o.Get("length").ToInteger())
		dst = append(dst, '[')
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = s.write(dst, o.Get(strconv.Itoa(i)), depth+1, left); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case "Date":
		iso, ok := goja.AssertFunction(o.Get("toISOString"))
		if !ok {
			return nil, wrong("a Date without toISOString")
		}
		text, err := iso(o)
		if err != nil {
			return nil, err
		}
		return document.AppendString(dst, strings.Replace(text.String(), ".000Z", "Z", 1)), nil
	case "Object":
		dst = append(dst, '{')
		first := true
		for _, key := range o.Keys() {
			item := o.Get(key)
			if item == nil || goja.IsUndefined(item) {
				continue
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = append(document.AppendString(dst, key), ':')
			var err error
			if dst, err = s.write(dst, item, depth+1, left); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	return nil, wrong("a value of class %s is none that a field can have", class(o))
}

// class names the object's class by the language's names, which a script cannot choose.
func class(o *goja.Object) string {
	if _, ok := goja.AssertFunction(o); ok {
		return "Function"
	}
	return o.ClassName()
}

func writeSimple(dst []byte, v goja.Value) ([]byte, error) {
	switch x := v.Export().(type) {
	case bool:
		return strconv.AppendBool(dst, x), nil
	case string:
		return document.AppendString(dst, x), nil
	case int64:
		return strconv.AppendInt(dst, x, 10), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, wrong("a number that is none (NaN or Infinity)")
		}
		if x == 0 {
			return append(dst, '0'), nil
		}
		if math.Abs(x) < 1e21 && math.Abs(x) >= 1e-7 {
			return strconv.AppendFloat(dst, x, 'f', -1, 64), nil
		}
		return strconv.AppendFloat(dst, x, 'e', -1, 64), nil
	case *big.Int:
		return x.Append(dst, 10), nil
	}
	return nil, wrong("a value that no field can have")
}
