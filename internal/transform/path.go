package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"syncline"
	"syncline/internal/expression"
)

// A path names a part of a JSON column: `address.city`. A column whose own name is written so comes first. Parts that a step does not
// name keep their text and their order.

var (
	errNoDocument = errors.New("the column holds no JSON document")
	errNoObject   = errors.New("a part of the path is no object")
)

// locate finds the column that a name begins with, and the path inside of it; at is -1 where the schema is open and nothing of it was
// sent.
func (l *layout) locate(name string) (at int, path []string, err error) {
	if at := l.index(name); at >= 0 {
		_, err := l.value(name)
		return at, nil, err
	}
	for end := strings.LastIndexByte(name, '.'); end > 0; end = strings.LastIndexByte(name[:end], '.') {
		at := l.index(name[:end])
		if at < 0 || l.fields[at].Kind != syncline.KindJSON && !l.open {
			continue
		}
		inner := name[end+1:]
		if err := complete(inner); err != nil {
			return 0, nil, err
		}
		_, err := l.value(name[:end])
		return at, strings.Split(inner, "."), err
	}
	at, err = l.need(name)
	return at, nil, err
}

// complete refuses a path in which a name is missing.
func complete(path string) error {
	if slices.Contains(strings.Split(path, "."), "") {
		return syncline.Errorf(syncline.Fatal, "bad_step", "a part of the path %s has no name", path)
	}
	return nil
}

// object is a JSON object in the order of its text.
type object []struct {
	name string
	text json.RawMessage
}

// manyMembers is from how many on the members of an object are looked up in a map.
const manyMembers = 32

func parseObject(text []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	start, err := dec.Token()
	if err != nil {
		return nil, errNoDocument
	}
	if start != json.Delim('{') {
		return nil, errNoObject
	}
	var o object
	var places map[string]int // by name, once there are so many that looking through them takes longer
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errNoDocument
		}
		text, ok := name.(string)
		if !ok {
			return nil, errNoDocument
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, errNoDocument
		}
		if len(o) < manyMembers {
			o = o.with(text, raw)
			continue
		}
		if places == nil {
			places = make(map[string]int)
			for i := range o {
				places[o[i].name] = i
			}
		}
		if at, again := places[text]; again {
			o[at].text = raw
			continue
		}
		places[text] = len(o)
		o = append(o, object{{text, raw}}...)
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNoDocument
	}
	return o, nil
}

func (o object) index(name string) int {
	for i := range o {
		if o[i].name == name {
			return i
		}
	}
	return -1
}

// with sets a member: of two of one name the last one counts, as JSON readers have it.
func (o object) with(name string, text []byte) object {
	if i := o.index(name); i >= 0 {
		o[i].text = text
		return o
	}
	return append(o, object{{name, text}}...)
}

func (o object) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, o[i].name)
		dst = append(append(dst, ':'), o[i].text...)
	}
	return append(dst, '}')
}

func appendQuoted(dst []byte, text string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		panic("text cannot be written as JSON: " + err.Error())
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// document returns the JSON text of a value, nil for null.
func document(v syncline.Value) ([]byte, error) {
	switch v.Kind() {
	case syncline.KindNull:
		return nil, nil
	case syncline.KindJSON, syncline.KindText, syncline.KindRaw:
		text := bytes.TrimSpace(v.Bytes())
		if string(text) == "null" {
			return nil, nil
		}
		return text, nil
	}
	return nil, errNoDocument
}

// part returns what stands at the path; found is false where nothing does, whatever of the path is missing. Numbers in the path are
// places in a list, from 0.
func part(text []byte, path []string) (part []byte, found bool, err error) {
	for _, name := range path {
		text = bytes.TrimSpace(text)
		if len(text) == 0 || string(text) == "null" {
			return nil, false, nil
		}
		if text[0] == '[' {
			var list []json.RawMessage
			if json.Unmarshal(text, &list) != nil {
				return nil, false, errNoDocument
			}
			// A name that is no place is in no list.
			i := -1
			if n, bad := strconv.ParseUint(name, 10, 31); bad == nil && n < uint64(len(list)) {
				i = int(n)
			}
			if i < 0 {
				return nil, false, nil
			}
			text = list[i]
			continue
		}
		o, err := parseObject(text)
		if errors.Is(err, errNoObject) && json.Valid(text) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		i := o.index(name)
		if i < 0 {
			return nil, false, nil
		}
		text = o[i].text
	}
	return text, true, nil
}

// put makes the text with another part at the path: nil removes it. Objects that the path needs are made; anything else in its way is
// an error.
func put(text []byte, path []string, value []byte) ([]byte, error) {
	var o object
	if text = bytes.TrimSpace(text); len(text) > 0 && string(text) != "null" {
		var err error
		if o, err = parseObject(text); err != nil {
			return nil, err
		}
	} else if value == nil {
		return text, nil
	}
	i := o.index(path[0])
	switch {
	case len(path) == 1 && value != nil:
		return o.with(path[0], value).append(nil), nil
	case len(path) == 1 && i >= 0:
		return append(o[:i:i], o[i+1:]...).append(nil), nil
	case len(path) == 1 || value == nil && i < 0:
		return text, nil
	}
	var inner []byte
	if i >= 0 {
		inner = o[i].text
	}
	inner, err := put(inner, path[1:], value)
	if err != nil || inner == nil {
		return text, err
	}
	return o.with(path[0], inner).append(nil), nil
}

// fromJSON is the value of a part of a document: whole numbers are ints, others decimals.
func fromJSON(text []byte) (syncline.Value, error) {
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0 || string(text) == "null":
		return syncline.Null, nil
	case text[0] == '"':
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return syncline.Null, errNoDocument
		}
		return syncline.Text(s), nil
	case text[0] == '{' || text[0] == '[':
		return syncline.JSON(text), nil
	case text[0] == 't' || text[0] == 'f':
		return syncline.Bool(text[0] == 't'), nil
	}
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return syncline.Int(n), nil
	}
	return expression.Convert(syncline.JSON(text), syncline.KindNull, syncline.KindDecimal)
}

// toJSON is the value as a part of a document; elem is the kind of an array's elements.
func toJSON(v syncline.Value, elem syncline.Kind) ([]byte, error) {
	switch v.Kind() {
	case syncline.KindNull:
		return []byte("null"), nil
	case syncline.KindText, syncline.KindRaw:
		return appendQuoted(nil, v.Text()), nil
	}
	out, err := expression.Convert(v, elem, syncline.KindJSON)
	return out.Bytes(), err
}
