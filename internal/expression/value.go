package expression

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cockroachdb/apd/v3"

	"syncline"
)

// Inside an expression a value is nil, bool, int, float64, decimal, string, []byte, moment, []any or map[string]any.

// decimal is a struct because the virtual machine follows pointers.
type decimal struct{ *apd.Decimal }

// errInvalid is a value whose text is not of its kind.
var errInvalid = errors.New("a value is not of its kind")

// load makes the inner form of a value; elem is the kind of an array's elements.
func load(v syncline.Value, elem syncline.Kind) (any, error) {
	switch v.Kind() {
	case syncline.KindNull:
		return nil, nil
	case syncline.KindBool:
		return v.AsBool()
	case syncline.KindInt, syncline.KindUint:
		if n, err := v.AsInt(); err == nil {
			return int(n), nil
		}
		return parseDecimal(v.Text())
	case syncline.KindFloat:
		return v.AsFloat()
	case syncline.KindDecimal:
		return parseDecimal(v.Text())
	case syncline.KindBytes:
		return v.Bytes(), nil
	case syncline.KindDate, syncline.KindTimestamp, syncline.KindTimestampTZ:
		return parseMoment(v.Kind(), v.Text())
	case syncline.KindTime:
		if text := v.Text(); strings.Contains(text, ".") {
			return strings.TrimRight(strings.TrimRight(text, "0"), "."), nil
		}
	case syncline.KindJSON:
		return parseJSON(v.Bytes())
	case syncline.KindArray:
		return parseArray(v.Text(), elem)
	}
	return v.Text(), nil
}

// maxNumber is the length of the longest number that is read, in bytes: PostgreSQL has none that is longer, and reading takes the square.
const maxNumber = 150_000

func parseDecimal(text string) (decimal, error) {
	if len(text) > maxNumber {
		return decimal{}, fmt.Errorf("%w: no number", errInvalid)
	}
	d, _, err := apd.NewFromString(text)
	if err != nil {
		return decimal{}, fmt.Errorf("%w: no number", errInvalid)
	}
	return decimal{d}, nil
}

// parseJSON reads JSON with whole numbers as int and all others as decimals.
func parseJSON(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: no JSON", errInvalid)
	}
	return jsonNumbers(v)
}

func jsonNumbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return int(n), nil
		}
		return parseDecimal(string(v))
	case []any:
		for i := range v {
			if v[i], err = jsonNumbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = jsonNumbers(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// parseArray reads a PostgreSQL array literal ("{a,\"b c\",NULL,{d}}", "[0:1]={a,b}") into nested lists.
func parseArray(text string, elem syncline.Kind) (any, error) {
	if strings.HasPrefix(text, "[") {
		if _, rest, ok := strings.Cut(text, "]={"); ok {
			text = "{" + rest
		}
	}
	p := arrayParser{text: text, elem: elem}
	list, err := p.list(0)
	if err == nil && p.pos != len(text) {
		err = p.bad()
	}
	return list, err
}

type arrayParser struct {
	text string
	pos  int
	elem syncline.Kind
}

func (p *arrayParser) bad() error { return fmt.Errorf("%w: no array", errInvalid) }

func (p *arrayParser) list(depth int) ([]any, error) {
	// PostgreSQL has at most six dimensions.
	if depth > 6 || p.pos >= len(p.text) || p.text[p.pos] != '{' {
		return nil, p.bad()
	}
	p.pos++
	items := []any{}
	if p.pos < len(p.text) && p.text[p.pos] == '}' {
		p.pos++
		return items, nil
	}
	for {
		item, err := p.item(depth)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
		if p.pos >= len(p.text) {
			return nil, p.bad()
		}
		p.pos++
		switch p.text[p.pos-1] {
		case '}':
			return items, nil
		case ',':
		default:
			return nil, p.bad()
		}
	}
}

func (p *arrayParser) item(depth int) (any, error) {
	if p.pos < len(p.text) && p.text[p.pos] == '{' {
		return p.list(depth + 1)
	}
	var b strings.Builder
	quoted := p.pos < len(p.text) && p.text[p.pos] == '"'
	if quoted {
		p.pos++
	}
	for {
		if p.pos >= len(p.text) {
			return nil, p.bad()
		}
		c := p.text[p.pos]
		switch {
		case quoted && c == '"':
			p.pos++
			return p.element(b.String())
		case !quoted && (c == ',' || c == '}'):
			if b.Len() == 0 {
				return nil, p.bad()
			}
			if strings.EqualFold(b.String(), "null") {
				return nil, nil
			}
			return p.element(b.String())
		case c == '\\':
			p.pos++
			if p.pos >= len(p.text) {
				return nil, p.bad()
			}
			c = p.text[p.pos]
		}
		b.WriteByte(c)
		p.pos++
	}
}

func (p *arrayParser) element(text string) (any, error) {
	switch p.elem {
	case syncline.KindNull, syncline.KindUnset, syncline.KindBytes, syncline.KindArray:
		return text, nil
	case syncline.KindBool:
		return text == "t" || text == "true", nil
	case syncline.KindTimestamp, syncline.KindTimestampTZ, syncline.KindDate:
		if m, err := parseMoment(p.elem, text); err == nil {
			return m, nil
		}
		return text, nil
	}
	return load(syncline.Raw(p.elem, []byte(text)), syncline.KindNull)
}

// store makes a value of the inner form.
func store(m *meter, v any) (syncline.Value, error) {
	switch v := v.(type) {
	case nil:
		return syncline.Null, nil
	case bool:
		return syncline.Bool(v), nil
	case int:
		return syncline.Int(int64(v)), nil
	case float64:
		return syncline.Float(v), nil
	case decimal:
		return syncline.Decimal(decimalText(v.Decimal)), nil
	case string:
		if !utf8.ValidString(v) {
			return syncline.Null, m.errorf("the text is not UTF-8")
		}
		return syncline.Text(v), nil
	case []byte:
		return syncline.Bytes(v), nil
	case moment:
		return syncline.Raw(v.kind, []byte(v.String())), nil
	}
	text, err := appendJSON(m, nil, v, 0)
	if err != nil {
		return syncline.Null, err
	}
	return syncline.JSON(text), nil
}

// decimalText writes a decimal without an exponent, as KindDecimal has it.
func decimalText(d *apd.Decimal) string {
	if d.Form != apd.Finite {
		switch {
		case d.Form != apd.Infinite:
			return "NaN"
		case d.Negative:
			return "-Infinity"
		}
		return "Infinity"
	}
	if d.IsZero() && d.Negative {
		d = new(apd.Decimal).Abs(d)
	}
	return d.Text('f')
}

const (
	// maxDepth bounds the nesting of what is written as JSON.
	maxDepth = 200
	// maxZeros bounds the zeros of a number that is written out there: each 1e90000 of a document would have 90,000.
	maxZeros = 40
)

// appendJSON writes JSON with sorted keys.
func appendJSON(m *meter, dst []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, m.errorf("the value is nested more than %d deep", maxDepth)
	}
	if err := m.spend(1); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return appendJSONText(m, dst, syncline.Float(v).Text())
		}
		return strconv.AppendFloat(dst, v, 'g', -1, 64), nil
	case decimal:
		if v.Form != apd.Finite {
			return appendJSONText(m, dst, decimalText(v.Decimal))
		}
		digits := int64(v.Coeff.BitLen()) * 3 / 10
		if err := m.digits(digits); err != nil {
			return nil, err
		}
		if e := int64(v.Exponent); e > maxZeros || -e > digits+maxZeros {
			return append(dst, v.Text('e')...), nil
		}
		return append(dst, decimalText(v.Decimal)...), nil
	case string:
		return appendJSONText(m, dst, v)
	case []byte:
		return appendJSONText(m, dst, string(v))
	case moment:
		return appendJSONText(m, dst, v.String())
	case map[string]any:
		names := sortedNames(v)
		dst = append(dst, '{')
		for i, n := range names {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJSONText(m, dst, n); err != nil {
				return nil, err
			}
			if dst, err = appendJSON(m, append(dst, ':'), v[n], depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	list, ok := asList(v)
	if !ok {
		return nil, m.errorf("the result is of a type that no column has")
	}
	dst = append(dst, '[')
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendJSON(m, dst, e, depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

func appendJSONText(m *meter, dst []byte, s string) ([]byte, error) {
	if err := m.spend(len(s) / bytesPerUnit); err != nil {
		return nil, err
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write text as JSON: %w", err)
	}
	return append(dst, quoted...), nil
}

func sortedNames(v map[string]any) []string {
	names := make([]string, 0, len(v))
	for n := range v {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// asList returns the elements of a list.
func asList(v any) ([]any, bool) {
	list, ok := v.([]any)
	return list, ok
}
