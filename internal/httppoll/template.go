package httppoll

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"syncline/internal/httpclient"
)

// fill is what a placeholder stands for.
type fill struct {
	text   string
	number bool // it is one in JSON, too
}

// fills are what placeholders stand for, by their names.
type fills map[string]fill

// request is one that can be sent.
type request struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte
}

// build fills the template in. base is the service's URL; ok is false where the path has a placeholder that stands for nothing.
func (t *Request) build(base *url.URL, f fills) (r request, ok bool) {
	r = request{method: t.Method, header: http.Header{}}
	if r.method == "" {
		r.method = http.MethodGet
	}
	u := *base
	path, ok := f.fill(t.Path, httpclient.Escape)
	if !ok {
		return r, false
	}
	path, query, _ := strings.Cut(path, "?")
	rel, err := url.Parse("/" + strings.TrimPrefix(path, "/"))
	if err != nil {
		return r, false
	}
	raw := strings.TrimSuffix(base.EscapedPath(), "/") + rel.EscapedPath()
	if path == "" {
		raw = base.EscapedPath()
	}
	if u.Path, err = url.PathUnescape(raw); err != nil {
		return r, false
	}
	u.RawPath = raw
	params := []string{}
	for _, q := range []string{base.RawQuery, query} {
		if q != "" {
			params = append(params, q)
		}
	}
	for _, p := range t.Query {
		if text, ok := f.fill(p.Text, nil); ok {
			params = append(params, url.QueryEscape(p.Name)+"="+url.QueryEscape(text))
		}
	}
	u.RawQuery = strings.Join(params, "&")
	r.url = &u
	for _, h := range t.Headers {
		if text, ok := f.fill(h.Text, nil); ok {
			r.header.Set(h.Name, text)
		}
	}
	if t.Body != "" {
		if r.body, ok = f.fillJSON(t.Body); !ok {
			return r, false
		}
		r.header.Set("Content-Type", "application/json")
	}
	return r, true
}

// fill puts what placeholders stand for into a text, each through escape; ok is false where one stands for nothing.
func (f fills) fill(text string, escape func(string) string) (out string, ok bool) {
	var b strings.Builder
	for text != "" {
		at := strings.IndexAny(text, "{}")
		if at < 0 {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:at])
		if at+1 < len(text) && text[at+1] == text[at] { // {{ and }}
			b.WriteByte(text[at])
			text = text[at+2:]
			continue
		}
		end := strings.IndexByte(text[at:], '}')
		if end < 0 || text[at] == '}' {
			return "", false
		}
		v, known := f[text[at+1:at+end]]
		if !known {
			return "", false
		}
		if escape != nil {
			v.text = escape(v.text)
		}
		b.WriteString(v.text)
		text = text[at+end+1:]
	}
	return b.String(), true
}

// Placeholders returns the names of those in a text, and false where its braces do not match.
func Placeholders(text string) (names []string, ok bool) {
	for {
		at := strings.IndexAny(text, "{}")
		if at < 0 {
			return names, true
		}
		if at+1 < len(text) && text[at+1] == text[at] {
			text = text[at+2:]
			continue
		}
		end := strings.IndexByte(text[at:], '}')
		if end < 0 || text[at] == '}' {
			return names, false
		}
		names = append(names, text[at+1:at+end])
		text = text[at+end+1:]
	}
}

// fillJSON fills in the texts of a JSON document.
func (f fills) fillJSON(text string) ([]byte, bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var document any
	if d.Decode(&document) != nil {
		return nil, false
	}
	document, ok := f.fillAny(document)
	if !ok {
		return nil, false
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(document) != nil {
		return nil, false
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), true
}

func (f fills) fillAny(v any) (any, bool) {
	switch v := v.(type) {
	case string:
		if name, found := strings.CutPrefix(v, "{"); found && strings.HasSuffix(name, "}") {
			if one, known := f[strings.TrimSuffix(name, "}")]; known && one.number {
				return json.Number(one.text), true
			}
		}
		return f.fill(v, nil)
	case map[string]any:
		for name, member := range v {
			filled, ok := f.fillAny(member)
			if ok {
				v[name] = filled
			} else {
				delete(v, name)
			}
		}
	case []any:
		kept := v[:0]
		for _, element := range v {
			if filled, ok := f.fillAny(element); ok {
				kept = append(kept, filled)
			}
		}
		return kept, true
	}
	return v, true
}
