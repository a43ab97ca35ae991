package javascript

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/dop251/goja"

	"syncline/internal/document"
)

// maxResult bounds a result, in bytes.
const maxResult = 16 << 20

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
