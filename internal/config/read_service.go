package config

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"
)

// headerName is what an HTTP header can be called, fieldPath a path of names and indexes in an answer.
var (
	headerName = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]{1,128}$`)
	fieldPath  = regexp.MustCompile(`^[^.\s]+(\.[^.\s]+)*$`)
	// secretName is of a header or a parameter that mostly says who asks.
	secretName = regexp.MustCompile(`(?i)^(proxy-)?authorization$|^cookie$|api.?key|token|secret|password|passwd`)
)

// captures returns the mode of the capture section of a system of type http, whose keys depend on it.
func captures(v value) Mode {
	if v.node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			if v.node.Content[i].Value == "capture" {
				return captureMode(v.child(v.node.Content[i+1], v.field("capture")), ModePush, ModePoll)
			}
		}
	}
	return ModePush
}

// serviceFields are the keys of a system of type http that is polled.
func (l *loader) serviceFields(s *Service) fields {
	return fields{
		"url":           func(v value) { l.url(v, &s.URL, "https", "http") },
		"auth":          func(v value) { l.serviceAuth(v, &s.Auth) },
		"headers":       func(v value) { s.Headers = l.params(v, "headers") },
		"rate":          func(v value) { l.perSecond(v, &s.Rate) },
		"timeout":       func(v value) { l.duration(v, &s.Timeout, 10*time.Millisecond) },
		"max_answer":    func(v value) { l.size(v, &s.MaxAnswer, 1024) },
		"allow_private": func(v value) { l.boolean(v, &s.AllowPrivate) },
	}
}

// checkService looks at what the keys of a polled service are together.
func (l *loader) checkService(s *Service, seen map[string]value) {
	at, ok := seen["url"]
	if !ok {
		return
	}
	text := s.URL.Reveal()
	_, rest, _ := strings.Cut(text, "://")
	host, _, _ := strings.Cut(rest, "/")
	switch {
	case strings.Contains(host, "@"):
		l.report(at, BadURL, `auth: {basic: {user: …, password: "${…}"}}`, "%s has a user in it", at.path)
	case strings.Contains(text, "#"):
		l.report(at, BadURL, "https://host/path", "%s has a fragment", at.path)
	case strings.HasPrefix(text, "http:") && !s.AllowPrivate:
		l.report(at, BadURL, "https://…, or allow_private: true for a service in the local network", "%s has no TLS", at.path)
	}
}

// serviceAuth reads {bearer: secret}, {basic: {user: name, password: secret}} and {header: {name: secret}}.
func (l *loader) serviceAuth(v value, a *ServiceAuth) {
	seen := l.object(v, "auth", fields{
		"bearer": func(v value) {
			l.secret(v, &a.Bearer)
			l.headerText(v, a.Bearer.Reveal())
		},
		"basic": func(v value) {
			seen := l.object(v, "basic", fields{
				"user":     func(v value) { a.User, _ = l.text(v) },
				"password": func(v value) { l.secret(v, &a.Password) },
			}, nil)
			l.need(v, seen, "basic", "user", "password")
		},
		"header": func(v value) {
			n := 0
			l.entries(v, "header", func(key, val value) {
				if n++; n > 1 {
					l.report(key, BadValue, "put others into headers", "%s is one header", v.path)
					return
				}
				l.headerName(key, &a.Header)
				l.secret(val, &a.Value)
				l.headerText(val, a.Value.Reveal())
			})
		},
	}, nil)
	if l.isMapping(v) && len(seen) != 1 {
		l.report(v, BadValue, `bearer: "${TOKEN}", basic: {user: …, password: "${…}"}, or header: {X-Api-Key: "${…}"}`, "%s needs one of bearer, basic and header", v.path)
	}
}

func (l *loader) headerName(key value, dst *string) {
	if !headerName.MatchString(key.node.Value) {
		l.report(key, BadName, "letters, digits and -", "%s cannot be the name of a header", said(key.node.Value))
		return
	}
	*dst = http.CanonicalHeaderKey(key.node.Value)
}

// headerText makes sure that a header can have the value, which may be a secret. A file of a secret easily has a line too many.
func (l *loader) headerText(v value, text string) {
	if !httpguts.ValidHeaderFieldValue(text) {
		l.report(v, BadValue, "see what the environment or the file has there", "%s has a line break or another control character, which no header can have", v.path)
	}
}

// params reads headers or query parameters. One that says who asks must be a reference.
func (l *loader) params(v value, what string) (list []*Param) {
	l.entries(v, what, func(key, val value) {
		p := &Param{Name: key.node.Value}
		if what == "headers" {
			l.headerName(key, &p.Name)
		}
		if secretName.MatchString(p.Name) {
			val.doc.hide(val.node)
			if literal(blank(val.node.Value)) >= 0 && !strings.Contains(val.node.Value, "{") {
				l.report(val, PlainSecret, "put it in the environment or a file: ${NAME}, ${file:/run/secrets/name}", "%s stands in the file", val.path)
				return
			}
		}
		if text, _, ok := l.scalar(val, "text or a number"); ok {
			if what == "headers" {
				l.headerText(val, text)
			}
			p.Text = NewText(text, val.node.Value)
			list = append(list, p)
		}
	})
	return list
}

// perSecond reads 10/s, 600/m, 5000/h, or a number per second.
func (l *loader) perSecond(v value, dst *float64) {
	text, _, ok := l.scalar(v, "a rate")
	if !ok {
		return
	}
	number, unit, cut := strings.Cut(text, "/")
	per := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	if !cut {
		per = 1
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || per == 0 || n <= 0 || n/per > 10_000 || n/per < 1.0/3600 {
		l.report(v, BadValue, "10/s, 600/m, 1000/h", "%s must be a rate", v.path)
		return
	}
	*dst = n / per
}

// listingFields are the keys of a polled entity of a service beside those of every polled entity.
func (l *loader) listingFields(e *Entity) fields {
	g := &Listing{Method: http.MethodGet, Page: Page{First: 1, Max: 10_000}}
	e.Listing = g
	return fields{
		"path":    func(v value) { l.template(v, &g.Path) },
		"method":  func(v value) { choose(&l.decoder, v, &g.Method, nil, http.MethodGet, http.MethodPost) },
		"query":   func(v value) { g.Query = l.params(v, "query") },
		"headers": func(v value) { g.Headers = l.params(v, "headers") },
		"body": func(v value) {
			if text, ok := l.json(v, nil); ok {
				g.Body = NewText(string(text), string(asWritten(v.node, nil)))
			}
		},
		"records": func(v value) { l.name(v, &g.Records, fieldPath, "names with dots between them") },
		"page":    func(v value) { l.page(v, &g.Page) },
		"get":     func(v value) { g.Get = l.getRecord(v) },
	}
}

func (l *loader) template(v value, dst *Text) {
	if text, ok := l.text(v); ok {
		*dst = NewText(text, v.node.Value)
	}
}

func (l *loader) page(v value, p *Page) {
	seen := l.object(v, "page", fields{
		"by":         func(v value) { choose(&l.decoder, v, &p.By, nil, PageByNumber, PageByOffset, PageByCursor, PageByLink) },
		"param":      func(v value) { p.Param, _ = l.text(v) },
		"first":      func(v value) { l.integer(v, &p.First, 0, 1) },
		"size":       func(v value) { l.integer(v, &p.Size, 1, 100_000) },
		"size_param": func(v value) { p.SizeParam, _ = l.text(v) },
		"next":       func(v value) { l.name(v, &p.Next, fieldPath, "names with dots between them") },
		"more":       func(v value) { l.name(v, &p.More, fieldPath, "names with dots between them") },
		"max":        func(v value) { l.integer(v, &p.Max, 1, 1_000_000) },
	}, nil)
	l.need(v, seen, "page", "by")
	if p.By == PageByCursor {
		l.need(v, seen, "a page by cursor", "next")
	}
	if at, ok := seen["next"]; ok && (p.By == PageByNumber || p.By == PageByOffset) {
		l.report(at, BadValue, "by: cursor or by: link", "%s is for cursors and links", at.path)
	}
	if at, ok := seen["first"]; ok && p.By != PageByNumber {
		l.report(at, BadValue, "take it out", "%s is for pages with numbers", at.path)
	}
}

// getRecord reads the path of one record, or {path: …, query: …, record: path in the answer}.
func (l *loader) getRecord(v value) *GetRecord {
	g := &GetRecord{}
	if !l.isMapping(v) {
		l.template(v, &g.Path)
		return g
	}
	seen := l.object(v, "get", fields{
		"path":   func(v value) { l.template(v, &g.Path) },
		"query":  func(v value) { g.Query = l.params(v, "query") },
		"record": func(v value) { l.name(v, &g.Record, fieldPath, "names with dots between them") },
	}, nil)
	l.need(v, seen, "get", "path")
	return g
}

var inBraces = regexp.MustCompile(`\{([^{}]*)\}`)

// checkListing looks at what the keys of a polled entity of a service are together: each inBraces must stand for something, and what
// a request needs to say must have a place in it.
func (l *loader) checkListing(e *Entity, v value, seen map[string]value) {
	g := e.Listing
	l.need(v, seen, "polled entity "+e.Name, "path", "key")
	if at, ok := seen["watermark"]; ok && len(e.Poll.Watermark) > 1 {
		l.report(at, BadValue, "name the field that tells when a record changed", "%s is one field at an HTTP service", at.path)
	}
	if at, ok := seen["body"]; ok && g.Method == http.MethodGet {
		l.report(at, BadValue, "method: POST", "%s is not sent with GET", at.path)
	}
	known := []string{"watermark", "size"}
	own := ""
	switch g.Page.By {
	case PageByNumber, PageByOffset:
		own = "page"
	case PageByCursor:
		own = "cursor"
	}
	known = append(known, own)
	used := map[string]bool{}
	look := func(key, text, written string) {
		at, ok := seen[key]
		if !ok {
			return
		}
		bare := strings.NewReplacer("{{", "", "}}", "").Replace(text)
		for _, m := range inBraces.FindAllStringSubmatch(bare, -1) {
			used[m[1]] = true
			if m[1] == "" || !slices.Contains(known, m[1]) {
				l.report(at, BadValue, "{"+strings.Join(slices.DeleteFunc(slices.Clone(known), func(s string) bool { return s == "" }), "}, {")+"}; {{ and }} are braces",
					"%s has {%s}, which stands for nothing here", at.path, nameInBraces(m[1], written))
			}
		}
		if strings.ContainsAny(inBraces.ReplaceAllString(bare, ""), "{}") && key != "body" {
			l.report(at, BadValue, "{{ and }} are braces", "%s has an unmatched brace", at.path)
		}
	}
	look("path", g.Path.Reveal(), g.Path.String())
	for _, p := range g.Query {
		look("query", p.Text.Reveal(), p.Text.String())
	}
	for _, p := range g.Headers {
		look("headers", p.Text.Reveal(), p.Text.String())
	}
	if g.Body.Reveal() != "" {
		for _, m := range regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).FindAllString(g.Body.Reveal(), -1) {
			look("body", m, g.Body.String())
		}
	}
	at, watermark := seen["watermark"]
	switch {
	case watermark && !used["watermark"]:
		l.report(at, MissingField, `query: {updated_since: "{watermark}"}`, "no part of the request says {watermark}: the service is not told what %s is for", at.path)
	case !watermark && used["watermark"]:
		l.report(v, MissingField, "name the field that tells when a record changed", "the request says {watermark}, and %s has none", v.path)
	}
	if p, ok := seen["page"]; ok {
		switch {
		case own != "" && g.Page.Param == "" && !used[own]:
			l.report(p, MissingField, "param: the query parameter, or {"+own+"} in the request", "%s does not say where the %s goes", p.path, own)
		case g.Page.Size > 0 && g.Page.SizeParam == "" && !used["size"]:
			l.report(p, MissingField, "size_param: the query parameter, or {size} in the request", "%s does not say where the size goes", p.path)
		}
	}
	if g.Get != nil {
		l.checkGet(e, seen)
	}
}

// nameInBraces is a name in braces where it stands in the file. Another one came with a reference, and may be a piece of a secret.
func nameInBraces(name, written string) string {
	if strings.Contains(written, "{"+name+"}") {
		return name
	}
	return "…"
}

// checkGet makes sure that the request for one record says which.
func (l *loader) checkGet(e *Entity, seen map[string]value) {
	at := seen["get"]
	texts, written := e.Listing.Get.Path.Reveal(), e.Listing.Get.Path.String()
	for _, p := range e.Listing.Get.Query {
		texts += " " + p.Text.Reveal()
		written += " " + p.Text.String()
	}
	used := map[string]bool{}
	for _, m := range inBraces.FindAllStringSubmatch(texts, -1) {
		if used[m[1]] = true; !slices.Contains(e.Key, m[1]) && (m[1] != "key" || len(e.Key) != 1) {
			l.report(at, BadValue, "{key}, or the names of the key's fields in braces", "%s has {%s}, which stands for nothing here", at.path, nameInBraces(m[1], written))
		}
	}
	for _, name := range e.Key {
		if !used[name] && (len(e.Key) != 1 || !used["key"]) {
			l.report(at, BadValue, "/path/{"+name+"}", "%s does not say {%s}: it would always be one record", at.path, name)
		}
	}
}
