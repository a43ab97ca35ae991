package expression

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"

	"syncline"
)

// functions are what expressions can call, and the operators. Null for the first argument gives null.
var functions = func() map[string]function {
	all := maps.Clone(operatorFunctions)
	maps.Copy(all, textFunctions)
	maps.Copy(all, numberFunctions)
	maps.Copy(all, listFunctions)
	maps.Copy(all, timeFunctions)
	return all
}()

func functionNames() string {
	var names []string
	for n := range functions {
		if n[0] != '@' {
			names = append(names, n)
		}
	}
	for n := range loops {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// nullable wraps a function that is null for a null first argument.
func nullable(least, most int, fn func(m *meter, args []any) (any, error)) function {
	return function{least, most, func(m *meter, args []any) (any, error) {
		if args[0] == nil {
			return nil, nil
		}
		return fn(m, args)
	}}
}

var numberFunctions = map[string]function{
	"abs": ofNumber(1, 1, func(m *meter, n any, _ []any) (any, error) {
		if compareNumbers(n, 0) < 0 {
			return negate(m, []any{n})
		}
		return n, nil
	}),
	// round rounds half away from zero, to a whole number or to places after the point.
	"round": ofNumber(1, 2, func(m *meter, n any, more []any) (any, error) {
		places := 0
		if len(more) > 0 {
			var ok bool
			if places, ok = more[0].(int); !ok {
				return nil, m.errorf("round needs a whole number of places, not %s", typeName(more[0]))
			}
		}
		return round(m, n, places, apd.RoundHalfUp)
	}),
	"floor": ofNumber(1, 1, func(m *meter, n any, _ []any) (any, error) { return round(m, n, 0, apd.RoundFloor) }),
	"ceil":  ofNumber(1, 1, func(m *meter, n any, _ []any) (any, error) { return round(m, n, 0, apd.RoundCeiling) }),
	// int takes the whole number before the point, of a number or of a text that is one.
	"int": nullable(1, 1, func(m *meter, args []any) (any, error) {
		n, err := numberOf(m, args[0])
		if err != nil {
			return nil, err
		}
		if n, err = round(m, n, 0, apd.RoundDown); err != nil {
			return nil, err
		}
		whole, err := exact(n).Int64()
		if err != nil {
			return nil, m.errorf("the number does not fit 64 bits")
		}
		return int(whole), nil
	}),
	"float": nullable(1, 1, func(m *meter, args []any) (any, error) {
		n, err := numberOf(m, args[0])
		return toFloat(n), err
	}),
	"decimal": nullable(1, 1, func(m *meter, args []any) (any, error) {
		n, err := numberOf(m, args[0])
		if err != nil {
			return nil, err
		}
		return decimal{exact(n)}, nil
	}),
	"min": {1, many, func(m *meter, args []any) (any, error) { return extreme(m, args, -1) }},
	"max": {1, many, func(m *meter, args []any) (any, error) { return extreme(m, args, 1) }},
	"@sum": {1, 1, func(m *meter, args []any) (any, error) {
		list, ok := asList(args[0])
		if !ok {
			return nil, m.errorf("sum needs a list, not %s", typeName(args[0]))
		}
		var total any = 0
		for _, v := range list {
			if v == nil {
				continue
			}
			if !isNumber(v) {
				return nil, m.errorf("sum needs numbers, not %s", typeName(v))
			}
			var err error
			if total, err = arithmetic(m, '+', total, v); err != nil {
				return nil, err
			}
		}
		return total, nil
	}},
}

func ofNumber(least, most int, fn func(m *meter, n any, more []any) (any, error)) function {
	return nullable(least, most, func(m *meter, args []any) (any, error) {
		if !isNumber(args[0]) {
			return nil, m.errorf("a number is needed, not %s", typeName(args[0]))
		}
		return fn(m, args[0], args[1:])
	})
}

// numberOf is a number, or what a text or a bool means as one.
func numberOf(m *meter, v any) (any, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case string:
		text := strings.TrimSpace(v)
		if n, err := strconv.Atoi(text); err == nil {
			return n, nil
		}
		if len(text) > maxDigits {
			return nil, m.errorf("the text is not a number")
		}
		if err := m.digits(int64(len(text))); err != nil {
			return nil, err
		}
		d, err := parseDecimal(text)
		if err != nil {
			return nil, m.errorf("the text is not a number")
		}
		return d, checkDigits(m, d.Decimal)
	}
	if !isNumber(v) {
		return nil, m.errorf("%s is not a number", typeName(v))
	}
	return v, nil
}

// extreme is the least or greatest of the arguments, or of one list, nulls left out.
func extreme(m *meter, args []any, sign int) (any, error) {
	if list, ok := asList(args[0]); ok && len(args) == 1 {
		args = list
	}
	var best any
	for _, v := range args {
		if v == nil {
			continue
		}
		if err := m.spend(0); err != nil {
			return nil, err
		}
		if best == nil {
			best = v
			continue
		}
		c, err := compare(m, v, best)
		if err != nil {
			return nil, err
		}
		if c*sign > 0 {
			best = v
		}
	}
	return best, nil
}

var listFunctions = map[string]function{
	// len counts characters, elements or fields.
	"len": nullable(1, 1, func(m *meter, args []any) (any, error) {
		switch v := args[0].(type) {
		case string:
			return utf8.RuneCountInString(v), m.text(len(v))
		case []byte:
			return len(v), nil
		case map[string]any:
			return len(v), nil
		}
		list, ok := asList(args[0])
		if !ok {
			return nil, m.errorf("%s has no length", typeName(args[0]))
		}
		return len(list), nil
	}),
	"first":  {1, 1, func(m *meter, args []any) (any, error) { return member(m, []any{args[0], 0}) }},
	"last":   {1, 1, func(m *meter, args []any) (any, error) { return member(m, []any{args[0], -1}) }},
	"keys":   ofObject(func(_ map[string]any, name string) any { return name }),
	"values": ofObject(func(object map[string]any, name string) any { return object[name] }),
	"concat": {1, many, func(m *meter, args []any) (any, error) {
		var all []any
		for _, a := range args {
			list, ok := asList(a)
			if !ok && a != nil {
				return nil, m.errorf("concat needs lists, not %s", typeName(a))
			}
			if err := m.spend(len(list)); err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
		return all, nil
	}},
	"sort":    ofList(sorted),
	"reverse": ofList(func(_ *meter, list []any) (any, error) { slices.Reverse(list); return list, nil }),
	// uniq keeps the first of equal elements.
	"uniq": ofList(func(m *meter, list []any) (any, error) {
		var kept []any
		for _, v := range list {
			has, err := within(m, v, kept)
			if err != nil {
				return nil, err
			}
			if !has {
				kept = append(kept, v)
			}
		}
		return kept, nil
	}),
}

// ofList wraps a function over a list that it may change.
func ofList(fn func(m *meter, list []any) (any, error)) function {
	return nullable(1, 1, func(m *meter, args []any) (any, error) {
		list, ok := asList(args[0])
		if !ok {
			return nil, m.errorf("a list is needed, not %s", typeName(args[0]))
		}
		if err := m.spend(len(list)); err != nil {
			return nil, err
		}
		return fn(m, slices.Clone(list))
	})
}

// ofObject wraps a function over the fields of an object, in the order of their names.
func ofObject(fn func(object map[string]any, name string) any) function {
	return nullable(1, 1, func(m *meter, args []any) (any, error) {
		object, ok := args[0].(map[string]any)
		if !ok {
			return nil, m.errorf("an object is needed, not %s", typeName(args[0]))
		}
		if err := m.spend(len(object)); err != nil {
			return nil, err
		}
		list := make([]any, 0, len(object))
		for _, name := range sortedNames(object) {
			list = append(list, fn(object, name))
		}
		return list, nil
	})
}

// sorted orders a list, nulls first.
func sorted(m *meter, list []any) (any, error) {
	var failed error
	slices.SortStableFunc(list, func(a, b any) int {
		switch {
		case failed != nil || a == nil && b == nil:
			return 0
		case a == nil:
			return -1
		case b == nil:
			return 1
		}
		c, err := compare(m, a, b)
		if err == nil {
			err = m.spend(0)
		}
		if err != nil {
			failed = err
		}
		return c
	})
	return list, failed
}

var timeFunctions = map[string]function{
	// date reads a date or a time; without a zone it is UTC.
	"date": ofText(1, 1, func(m *meter, s []string) (any, error) {
		t, err := readMoment(syncline.KindTimestampTZ, s[0])
		if err != nil {
			return nil, m.errorf("the text is not a date or a time")
		}
		return t, nil
	}),
	"year":   ofTime(func(t moment) any { return t.t.Year() }),
	"month":  ofTime(func(t moment) any { return int(t.t.Month()) }),
	"day":    ofTime(func(t moment) any { return t.t.Day() }),
	"hour":   ofTime(func(t moment) any { return t.t.Hour() }),
	"minute": ofTime(func(t moment) any { return t.t.Minute() }),
	"second": ofTime(func(t moment) any { return t.t.Second() }),
	// weekday is 1 for Monday to 7 for Sunday.
	"weekday": ofTime(func(t moment) any { return (int(t.t.Weekday())+6)%7 + 1 }),
	// unix counts seconds since 1970.
	"unix": ofTime(func(t moment) any { return int(t.t.Unix()) }),
}

// ofTime wraps a function over a time; an infinite time has no parts, which is null.
func ofTime(fn func(t moment) any) function {
	return nullable(1, 1, func(m *meter, args []any) (any, error) {
		t, ok := args[0].(moment)
		switch {
		case !ok:
			return nil, m.errorf("a time is needed, not %s", typeName(args[0]))
		case t.infinite != 0:
			return nil, nil
		}
		return fn(t), nil
	})
}
