package redis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"syncline"
)

// object is one object with the keys of its bookkeeping.
type object struct {
	name        string
	format      Format
	template    template
	ttl         time.Duration
	guard, gone string
	shadow      string
	epochs      string
}

func newObject(name string, o Object) (*object, error) {
	ob := &object{name: name, format: o.Format, ttl: o.TTL}
	switch ob.format {
	case "":
		ob.format = JSON
	case JSON, Hash:
	default:
		return nil, syncline.Errorf(syncline.Fatal, "redis_format", "object %s has the unknown format %q", name, o.Format).WithFix("use json or hash")
	}
	if o.KeyTemplate == "" {
		ob.template = template{parts: []part{{column: objectName}, {text: ":"}, {column: wholeKey}}}
		return ob, nil
	}
	var err error
	ob.template, err = parseTemplate(o.KeyTemplate)
	return ob, err
}

// bind names the bookkeeping keys, with the target's hash tag.
func (ob *object) bind(tag string) {
	ob.guard = guardPrefix + tag + ob.name
	ob.gone = "_syncline_gone:" + tag + ob.name
	ob.shadow = "_syncline_shadow:" + tag + ob.name
	ob.epochs = "_syncline_epochs:" + tag + ob.name
}

// kind is Redis' name for the type of the records.
func (ob *object) kind() string {
	if ob.format == Hash {
		return "hash"
	}
	return "string"
}

// The placeholders that are no columns, unless the record has columns of that name: all columns of the key, and the name of
// the object.
const (
	wholeKey   = "key"
	objectName = "object"
)

// template makes the key of a record.
type template struct {
	parts []part
	tag   string
}

// part is literal text, or the value of a column.
type part struct {
	text, column string
	// end is the character of the text that tells where a value before it ends: none has it in its part of the key. "" where the
	// text has none that would do.
	end string
}

// endOf finds the end of a part. Keys hold most special characters in their encoded form anyway; where the text has none of those,
// values must encode another one. That is none which an encoded form is made of.
func endOf(text string) string {
	const encoding = "%0123456789ABCDEF"
	other := ""
	for _, r := range text {
		switch c := string(r); {
		case r == utf8.RuneError || strings.Contains(encoding, c):
		case string(syncline.MakeKey(syncline.Text(c))) != c:
			return c
		case other == "":
			other = c
		}
	}
	return other
}

func parseTemplate(s string) (template, error) {
	bad := func(what string) (template, error) {
		return template{}, syncline.Errorf(syncline.Fatal, "redis_key_template", "key template %q: %s", s, what).
			WithFix(`write it as "customer:{id}" with every column of the key, or {key}`)
	}
	var t template
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			t.parts = append(t.parts, part{text: text.String(), end: endOf(text.String())})
			text.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "{{"), strings.HasPrefix(s[i:], "}}"):
			text.WriteByte(s[i])
			i++
		case s[i] == '}':
			return bad("a closing brace without an opening one")
		case s[i] == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return bad("an opening brace without a closing one")
			}
			name := s[i+1 : i+end]
			if name == "" {
				return bad("a placeholder without a name")
			}
			flush()
			t.parts = append(t.parts, part{column: name})
			i += end
		default:
			text.WriteByte(s[i])
		}
	}
	flush()
	if !slices.ContainsFunc(t.parts, func(p part) bool { return p.column != "" }) {
		return bad("no placeholder")
	}
	// The server hashes what stands between the first { of the key and the next }.
	for _, p := range t.parts {
		if open := strings.IndexByte(p.text, '{'); open >= 0 {
			if end := strings.IndexByte(p.text[open:], '}'); end > 1 {
				t.tag = p.text[open : open+end+1]
			}
			break
		}
	}
	return t, nil
}

// ending returns the end of the value of part i, and whether the value of another column follows it.
func (ob *object) ending(i int, s *syncline.Schema) (end string, more bool) {
	for _, p := range ob.template.parts[i+1:] {
		switch {
		case p.column == "":
			end = cmp.Or(end, p.end)
		case p.column != objectName || s.Index(p.column) >= 0:
			return end, true
		}
	}
	return "", false
}

// appendEscaped appends the text with each occurrence of the character percent-encoded.
func appendEscaped(dst []byte, text, character string) []byte {
	for {
		at := strings.Index(text, character)
		if character == "" || at < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:at]...)
		for _, c := range []byte(character) {
			dst = fmt.Appendf(dst, "%%%02X", c)
		}
		text = text[at+len(character):]
	}
}

// appendKey appends the key of the record. Every column of the key must have a place, and the value of one must end before that of the
// next begins: else two records would share a key.
func (ob *object) appendKey(dst []byte, row syncline.Row) ([]byte, error) {
	key, ok := row.Key()
	if !ok {
		return nil, syncline.Errorf(syncline.Fatal, "key_missing", "object %s needs records with a key", ob.name).
			WithFix("declare the entity's key")
	}
	named, whole := 0, row.Schema.Index(wholeKey) < 0 && slices.ContainsFunc(ob.template.parts, func(p part) bool { return p.column == wholeKey })
	for i, p := range ob.template.parts {
		switch {
		case p.column == "":
			dst = append(dst, p.text...)
			continue
		case row.Schema.Index(p.column) < 0 && p.column == wholeKey:
			dst = append(dst, key...)
			named = len(row.Schema.Key)
			continue
		case row.Schema.Index(p.column) < 0 && p.column == objectName:
			dst = append(dst, ob.name...)
			continue
		}
		c := row.Schema.Index(p.column)
		if !slices.Contains(row.Schema.Key, c) {
			return nil, syncline.Errorf(syncline.Fatal, "redis_key_template", "the key template of object %s names %s, which is not a column of the key", ob.name, p.column).
				WithFix("use columns of the key only: a delete has no others")
		}
		named++
		end, more := ob.ending(i, row.Schema)
		switch {
		case whole || !more:
			end = ""
		case end == "":
			return nil, syncline.Errorf(syncline.Fatal, "redis_key_template", "nothing in the key template of object %s tells where the value of %s ends: records would share keys",
				ob.name, p.column).WithFix("write a colon behind {%s}, or use {key}", p.column)
		}
		dst = appendEscaped(dst, string(syncline.MakeKey(row.Values[c])), end)
	}
	if named < len(row.Schema.Key) {
		return nil, syncline.Errorf(syncline.Fatal, "redis_key_template", "the key template of object %s leaves out columns of the key: records would share keys", ob.name).
			WithFix("add a placeholder for each of %s, or {key}", strings.Join(row.Schema.KeyNames(), ", "))
	}
	return dst, nil
}
