package document

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"syncline"
)

// maxDimensions is PostgreSQL's own limit.
const maxDimensions = 6

var errArray = errors.New("not an array that JSON can hold")

// appendArray writes an array literal as a JSON array. A literal that would not come back byte for byte is written as a
// string: arrays are compared by their text.
func appendArray(dst, literal []byte, elem syncline.Kind) []byte {
	start := len(dst)
	p := arrayParser{in: literal, elem: elem}
	out, err := p.array(dst, 1)
	if err == nil && p.at == len(literal) {
		if back, err := arrayLiteral(out[start:], elem); err == nil && bytes.Equal(back, literal) {
			return out
		}
	}
	return appendQuoted(dst[:start], literal)
}

// arrayParser reads a PostgreSQL array literal ("Array Input and Output Syntax" in its manual) with the delimiter comma.
type arrayParser struct {
	in   []byte
	at   int
	elem syncline.Kind
}

func (p *arrayParser) array(dst []byte, depth int) ([]byte, error) {
	if depth > maxDimensions || !p.take('{') {
		return nil, errArray
	}
	dst = append(dst, '[')
	if p.take('}') {
		return append(dst, ']'), nil
	}
	for {
		var err error
		if p.at < len(p.in) && p.in[p.at] == '{' {
			dst, err = p.array(dst, depth+1)
		} else {
			dst, err = p.element(dst)
		}
		if err != nil {
			return nil, err
		}
		if p.take('}') {
			return append(dst, ']'), nil
		}
		if !p.take(',') {
			return nil, errArray
		}
		dst = append(dst, ',')
	}
}

func (p *arrayParser) take(c byte) bool {
	if p.at < len(p.in) && p.in[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *arrayParser) element(dst []byte) ([]byte, error) {
	var text []byte
	if p.take('"') {
		for {
			if p.at >= len(p.in) {
				return nil, errArray
			}
			c := p.in[p.at]
			p.at++
			if c == '"' {
				return appendElement(dst, text, p.elem), nil
			}
			if c == '\\' {
				if p.at >= len(p.in) {
					return nil, errArray
				}
				c = p.in[p.at]
				p.at++
			}
			text = append(text, c)
		}
	}
	start := p.at
	for p.at < len(p.in) && strings.IndexByte(`,{}"\`, p.in[p.at]) < 0 {
		p.at++
	}
	text = p.in[start:p.at]
	if len(text) == 0 {
		return nil, errArray
	}
	if string(text) == "NULL" {
		return append(dst, "null"...), nil
	}
	return appendElement(dst, text, p.elem), nil
}

func appendElement(dst, text []byte, elem syncline.Kind) []byte {
	switch elem {
	case syncline.KindBool:
		if string(text) == "t" {
			return append(dst, "true"...)
		}
		if string(text) == "f" {
			return append(dst, "false"...)
		}
	case syncline.KindInt, syncline.KindUint, syncline.KindFloat, syncline.KindDecimal:
		if isNumber(text) {
			return append(dst, text...)
		}
	case syncline.KindBytes:
		if digits, ok := bytes.CutPrefix(text, []byte(`\x`)); ok {
			if b, err := hex.DecodeString(string(digits)); err == nil {
				return appendQuoted(dst, base64.StdEncoding.AppendEncode(nil, b))
			}
		}
	case syncline.KindTimestamp, syncline.KindTimestampTZ:
		return appendTimestamp(dst, text)
	}
	return appendQuoted(dst, text)
}

// arrayLiteral writes a JSON array as PostgreSQL would print the array.
func arrayLiteral(array []byte, elem syncline.Kind) ([]byte, error) {
	return appendLiteral(nil, array, elem, 1)
}

func appendLiteral(dst, array []byte, elem syncline.Kind, depth int) ([]byte, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(array, &list); err != nil || depth > maxDimensions {
		return nil, errArray
	}
	dst = append(dst, '{')
	for i, raw := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch raw[0] {
		case '[':
			var err error
			if dst, err = appendLiteral(dst, raw, elem, depth+1); err != nil {
				return nil, err
			}
		case 'n':
			dst = append(dst, "NULL"...)
		case 't', 'f':
			dst = append(dst, raw[0])
		case '{':
			return nil, errArray
		case '"':
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				return nil, errArray
			}
			dst = appendLiteralElement(dst, elementText(s, elem))
		default:
			dst = append(dst, raw...)
		}
	}
	return append(dst, '}'), nil
}

func elementText(s string, elem syncline.Kind) string {
	switch elem {
	case syncline.KindBytes:
		if b, err := base64.StdEncoding.DecodeString(s); err == nil {
			return `\x` + hex.EncodeToString(b)
		}
	case syncline.KindTimestamp, syncline.KindTimestampTZ:
		return string(timestampText(s))
	}
	return s
}

// appendLiteralElement quotes exactly where PostgreSQL's array_out does.
func appendLiteralElement(dst []byte, s string) []byte {
	if s != "" && !strings.EqualFold(s, "NULL") && !strings.ContainsAny(s, "{},\"\\ \t\n\r\v\f") {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}
