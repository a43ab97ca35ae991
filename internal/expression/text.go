package expression

import (
	"strings"
	"unicode/utf8"
)

// ofText wraps a function whose arguments are all texts.
func ofText(least, most int, fn func(m *meter, s []string) (any, error)) function {
	return nullable(least, most, func(m *meter, args []any) (any, error) {
		s := make([]string, len(args))
		for i, a := range args {
			text, ok := a.(string)
			if !ok {
				return nil, m.errorf("text is needed, not %s", typeName(a))
			}
			s[i] = text
		}
		if err := m.text(len(s[0])); err != nil {
			return nil, err
		}
		return fn(m, s)
	})
}

var textFunctions = map[string]function{
	"lower": ofText(1, 1, func(_ *meter, s []string) (any, error) { return strings.ToLower(s[0]), nil }),
	"upper": ofText(1, 1, func(_ *meter, s []string) (any, error) { return strings.ToUpper(s[0]), nil }),
	"trim": ofText(1, 2, func(_ *meter, s []string) (any, error) {
		if len(s) == 1 {
			return strings.TrimSpace(s[0]), nil
		}
		return strings.Trim(s[0], s[1]), nil
	}),
	"trimPrefix": ofText(2, 2, func(_ *meter, s []string) (any, error) { return strings.TrimPrefix(s[0], s[1]), nil }),
	"trimSuffix": ofText(2, 2, func(_ *meter, s []string) (any, error) { return strings.TrimSuffix(s[0], s[1]), nil }),
	"hasPrefix":  ofText(2, 2, func(_ *meter, s []string) (any, error) { return strings.HasPrefix(s[0], s[1]), nil }),
	"hasSuffix":  ofText(2, 2, func(_ *meter, s []string) (any, error) { return strings.HasSuffix(s[0], s[1]), nil }),
	// indexOf counts characters; -1 = not found.
	"indexOf": ofText(2, 2, func(_ *meter, s []string) (any, error) {
		i := strings.Index(s[0], s[1])
		if i < 0 {
			return -1, nil
		}
		return utf8.RuneCountInString(s[0][:i]), nil
	}),
	"split": ofText(2, 2, func(m *meter, s []string) (any, error) {
		if err := m.spend(strings.Count(s[0], s[1])); err != nil {
			return nil, err
		}
		parts := strings.Split(s[0], s[1])
		list := make([]any, len(parts))
		for i := range parts {
			list[i] = parts[i]
		}
		return list, nil
	}),
	"replace": ofText(3, 3, func(m *meter, s []string) (any, error) {
		if err := m.text(len(s[0]) + strings.Count(s[0], s[1])*len(s[2])); err != nil {
			return nil, err
		}
		return strings.ReplaceAll(s[0], s[1], s[2]), nil
	}),
	"repeat": nullable(2, 2, func(m *meter, args []any) (any, error) {
		s, ok := args[0].(string)
		n, ok2 := args[1].(int)
		if !ok || !ok2 || n < 0 || n > maxWork {
			return nil, m.errorf("repeat needs a text and a number from 0 to %d", maxWork)
		}
		if err := m.text(len(s) * n); err != nil {
			return nil, err
		}
		return strings.Repeat(s, n), nil
	}),
	"join": nullable(1, 2, func(m *meter, args []any) (any, error) {
		list, ok := asList(args[0])
		glue := ""
		if len(args) > 1 {
			glue, _ = args[1].(string)
		}
		if !ok {
			return nil, m.errorf("join needs a list, not %s", typeName(args[0]))
		}
		var b strings.Builder
		for i, v := range list {
			text, err := textOf(m, v)
			if err != nil {
				return nil, err
			}
			if err := m.text(len(text) + len(glue)); err != nil {
				return nil, err
			}
			if i > 0 {
				b.WriteString(glue)
			}
			b.WriteString(text)
		}
		return b.String(), nil
	}),
	"string": nullable(1, 1, func(m *meter, args []any) (any, error) { return textOf(m, args[0]) }),
	"toJSON": {1, 1, func(m *meter, args []any) (any, error) {
		text, err := appendJSON(m, nil, args[0], 0)
		return string(text), err
	}},
	"fromJSON": ofText(1, 1, func(m *meter, s []string) (any, error) {
		if err := m.spend(len(s[0])); err != nil {
			return nil, err
		}
		v, err := parseJSON([]byte(s[0]))
		if err != nil {
			return nil, m.errorf("the text is not JSON")
		}
		return v, nil
	}),
}

// textOf is a value's text form; null has none.
func textOf(m *meter, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case []byte:
		return "", m.errorf("bytes are not text")
	}
	stored, err := store(m, v)
	return stored.Text(), err
}
