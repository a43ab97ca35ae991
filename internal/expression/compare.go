package expression

import (
	"bytes"
	"cmp"
)

// equal is by content. Values of different types are not equal, but a time equals the text that means it.
func equal(m *meter, a, b any) (bool, error) {
	if err := m.spend(0); err != nil {
		return false, err
	}
	switch x := a.(type) {
	case nil:
		return b == nil, nil
	case bool:
		y, ok := b.(bool)
		return ok && x == y, nil
	case string:
		if y, ok := b.(moment); ok {
			return equal(m, y, x)
		}
		y, ok := b.(string)
		if !ok || len(x) != len(y) {
			return false, nil
		}
		return x == y, m.text(len(x))
	case []byte:
		y, ok := b.([]byte)
		if !ok || len(x) != len(y) {
			return false, nil
		}
		return bytes.Equal(x, y), m.text(len(x))
	case moment:
		switch y := b.(type) {
		case moment:
			return x.compare(y) == 0, nil
		case string:
			t, err := readMoment(x.kind, y)
			return err == nil && x.compare(t) == 0, nil
		}
		return false, nil
	case map[string]any:
		return equalObjects(m, x, b)
	}
	if isNumber(a) {
		return isNumber(b) && compareNumbers(a, b) == 0, nil
	}
	x, ok := asList(a)
	y, ok2 := asList(b)
	if !ok || !ok2 || len(x) != len(y) {
		return false, nil
	}
	for i := range x {
		if same, err := equal(m, x[i], y[i]); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

func equalObjects(m *meter, x map[string]any, b any) (bool, error) {
	y, ok := b.(map[string]any)
	if !ok || len(x) != len(y) {
		return false, nil
	}
	for k, v := range x {
		w, ok := y[k]
		if !ok {
			return false, nil
		}
		if same, err := equal(m, v, w); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// compare orders two values of one type; neither is null.
func compare(m *meter, a, b any) (int, error) {
	switch x := a.(type) {
	case string:
		switch y := b.(type) {
		case string:
			return cmp.Compare(x, y), m.text(min(len(x), len(y)))
		case moment:
			t, err := readMoment(y.kind, x)
			if err != nil {
				return 0, m.errorf("a time cannot be compared with a text that is not a time")
			}
			return t.compare(y), nil
		}
	case moment:
		if _, ok := b.(string); ok {
			c, err := compare(m, b, a)
			return -c, err
		}
		if y, ok := b.(moment); ok {
			return x.compare(y), nil
		}
	case []byte:
		if y, ok := b.([]byte); ok {
			return bytes.Compare(x, y), m.text(min(len(x), len(y)))
		}
	case bool:
		if y, ok := b.(bool); ok {
			switch {
			case x == y:
				return 0, nil
			case y:
				return -1, nil
			}
			return 1, nil
		}
	}
	if isNumber(a) && isNumber(b) {
		return compareNumbers(a, b), nil
	}
	return 0, m.errorf("%s cannot be compared with %s", typeName(a), typeName(b))
}
