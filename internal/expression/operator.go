package expression

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// typeName is what a value is, for messages.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a bool"
	case string:
		return "text"
	case []byte:
		return "bytes"
	case moment:
		return "a time"
	case map[string]any:
		return "an object"
	}
	if isNumber(v) {
		return "a number"
	}
	return "a list"
}

func ordering(holds func(int) bool) function {
	return function{2, 2, func(m *meter, args []any) (any, error) {
		if args[0] == nil || args[1] == nil {
			return false, nil
		}
		c, err := compare(m, args[0], args[1])
		return holds(c), err
	}}
}

func calculation(op byte) function {
	return function{2, 2, func(m *meter, args []any) (any, error) {
		a, b := args[0], args[1]
		if a == nil || b == nil {
			return nil, nil
		}
		if x, ok := a.(string); ok && op == '+' {
			if y, ok := b.(string); ok {
				if err := m.text(len(x) + len(y)); err != nil {
					return nil, err
				}
				return x + y, nil
			}
		}
		if !isNumber(a) || !isNumber(b) {
			return nil, m.errorf("%c cannot take %s and %s; string(…) makes text of anything", op, typeName(a), typeName(b))
		}
		return arithmetic(m, op, a, b)
	}}
}

// textTest is an operator over two texts that is false for null.
func textTest(test func(a, b string) bool) function {
	return function{2, 2, func(m *meter, args []any) (any, error) {
		a, b, null, err := texts(m, args)
		if err != nil || null {
			return false, err
		}
		return test(a, b), m.text(len(a))
	}}
}

func texts(m *meter, args []any) (a, b string, null bool, err error) {
	if args[0] == nil || args[1] == nil {
		return "", "", true, nil
	}
	a, ok := args[0].(string)
	b, ok2 := args[1].(string)
	if !ok || !ok2 {
		return "", "", false, m.errorf("two texts are needed, not %s and %s", typeName(args[0]), typeName(args[1]))
	}
	return a, b, false, nil
}

// within reports whether a list has an equal element, or an object the name.
func within(m *meter, v, in any) (bool, error) {
	if in == nil {
		return false, nil
	}
	if object, ok := in.(map[string]any); ok {
		name, ok := v.(string)
		_, has := object[name]
		return ok && has, nil
	}
	list, ok := asList(in)
	if !ok {
		return false, m.errorf("in needs a list or an object, not %s", typeName(in))
	}
	for _, e := range list {
		if same, err := equal(m, v, e); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// maxPattern bounds a pattern that is computed.
const maxPattern = 1000

func matches(m *meter, args []any) (any, error) {
	if args[0] == nil || args[1] == nil {
		return false, nil
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, m.errorf("matches needs a text, not %s", typeName(args[0]))
	}
	p, ok := args[1].(pattern)
	if !ok {
		written, ok := args[1].(string)
		if !ok || len(written) > maxPattern {
			return nil, m.errorf("matches needs a pattern of at most %d bytes", maxPattern)
		}
		var err error
		if err = m.spend(1000 + 16*len(written)); err != nil { // a short one can stand for a large one: (a{1000})
			return nil, err
		}
		if p, err = compilePattern(written); err != nil {
			return nil, m.errorf("the pattern cannot be read")
		}
	}
	// At worst, each character is looked at in each state of the pattern.
	if err := m.spend(len(text)/bytesPerUnit + len(text)*p.size/512); err != nil {
		return nil, err
	}
	return p.MatchString(text), nil
}

// pattern is a compiled regular expression. It is a struct because the virtual machine follows pointers.
type pattern struct {
	*regexp.Regexp
	size int // its states
}

func compilePattern(written string) (pattern, error) {
	parsed, err := syntax.Parse(written, syntax.Perl)
	if err != nil {
		return pattern{}, err
	}
	states, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return pattern{}, err
	}
	re, err := regexp.Compile(written)
	return pattern{re, len(states.Inst)}, err
}

// member returns a part of a JSON value; null where there is none.
func member(m *meter, args []any) (any, error) {
	switch of := args[0].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		name, ok := args[1].(string)
		if !ok {
			return nil, m.errorf("an object has fields with names, not %s", typeName(args[1]))
		}
		return of[name], nil
	}
	list, ok := asList(args[0])
	if !ok {
		return nil, m.errorf("%s has no fields", typeName(args[0]))
	}
	i, ok := args[1].(int)
	if !ok {
		return nil, m.errorf("a list has elements with numbers, not %s", typeName(args[1]))
	}
	if i < 0 {
		i += len(list)
	}
	if i < 0 || i >= len(list) {
		return nil, nil
	}
	return list[i], nil
}

// slice returns a part of a text (in characters) or of a list; what lies outside is left out.
func slice(m *meter, args []any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	var runes []rune
	list, isList := asList(args[0])
	size := len(list)
	if !isList {
		text, ok := args[0].(string)
		if !ok {
			return nil, m.errorf("%s has no parts", typeName(args[0]))
		}
		if err := m.text(4 * len(text)); err != nil {
			return nil, err
		}
		runes = []rune(text)
		size = len(runes)
	}
	bound := [2]int{0, size}
	for i := range bound {
		switch n := args[i+1].(type) {
		case nil:
		case int:
			if n < 0 {
				n += size
			}
			bound[i] = min(max(n, 0), size)
		default:
			return nil, m.errorf("a bound is a whole number, not %s", typeName(n))
		}
	}
	bound[1] = max(bound[0], bound[1])
	if isList {
		return list[bound[0]:bound[1]:bound[1]], nil
	}
	return string(runes[bound[0]:bound[1]]), nil
}

// span lists the whole numbers from one to another.
func span(m *meter, args []any) (any, error) {
	from, ok := args[0].(int)
	to, ok2 := args[1].(int)
	if !ok || !ok2 {
		return nil, m.errorf(".. needs two whole numbers, not %s and %s", typeName(args[0]), typeName(args[1]))
	}
	list := []any{}
	for i := from; i <= to; i++ {
		if err := m.spend(0); err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, nil
}

func truth(m *meter, args []any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	}
	return nil, m.errorf("a condition must be true or false, not %s", typeName(args[0]))
}

func negate(m *meter, args []any) (any, error) {
	switch {
	case args[0] == nil:
		return nil, nil
	case !isNumber(args[0]):
		return nil, m.errorf("- needs a number, not %s", typeName(args[0]))
	}
	if f, ok := args[0].(float64); ok {
		return -f, nil
	}
	return arithmetic(m, '-', 0, args[0])
}

func positive(m *meter, args []any) (any, error) {
	if args[0] != nil && !isNumber(args[0]) {
		return nil, m.errorf("+ needs a number, not %s", typeName(args[0]))
	}
	return args[0], nil
}

var operatorFunctions = map[string]function{
	// @mirrored is the place from the front of what stands at this place from the end.
	"@mirrored": {2, 2, func(m *meter, args []any) (any, error) {
		list, _ := asList(args[0])
		if i, ok := args[1].(int); ok {
			return len(list) - 1 - i, nil
		}
		return nil, nil
	}},
	"@eq": {2, 2, func(m *meter, args []any) (any, error) { return equal(m, args[0], args[1]) }},
	"@ne": {2, 2, func(m *meter, args []any) (any, error) {
		same, err := equal(m, args[0], args[1])
		return !same, err
	}},
	"@lt":       ordering(func(c int) bool { return c < 0 }),
	"@le":       ordering(func(c int) bool { return c <= 0 }),
	"@gt":       ordering(func(c int) bool { return c > 0 }),
	"@ge":       ordering(func(c int) bool { return c >= 0 }),
	"@add":      calculation('+'),
	"@sub":      calculation('-'),
	"@mul":      calculation('*'),
	"@div":      calculation('/'),
	"@mod":      calculation('%'),
	"@neg":      {1, 1, negate},
	"@pos":      {1, 1, positive},
	"@in":       {2, 2, func(m *meter, args []any) (any, error) { return within(m, args[0], args[1]) }},
	"@starts":   textTest(strings.HasPrefix),
	"@ends":     textTest(strings.HasSuffix),
	"@matches":  {2, 2, matches},
	"@contains": {2, 2, contains},
	"@get":      {2, 2, member},
	"@slice":    {3, 3, slice},
	"@truth":    {1, 1, truth},
	"@range":    {2, 2, span},
	"@tick":     {1, 1, func(_ *meter, args []any) (any, error) { return args[0], nil }},
	"@list": {1, 1, func(m *meter, args []any) (any, error) {
		if args[0] == nil {
			return []any{}, nil
		}
		list, ok := asList(args[0])
		if !ok {
			return nil, m.errorf("a list is needed, not %s", typeName(args[0]))
		}
		return list, m.spend(len(list) / bytesPerUnit)
	}},
}

// contains is over two texts, or over a list and what may be in it.
func contains(m *meter, args []any) (any, error) {
	if _, ok := asList(args[0]); ok {
		return within(m, args[1], args[0])
	}
	return textTest(strings.Contains).fn(m, args)
}
