package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"syncline/internal/conflict"
)

var (
	// systemName is what can stand before the slash of "crm/customer" and as a CloudEvents source.
	systemName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)
	// entityName is what can stand before the dot of a CloudEvents type.
	entityName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}$`)
	// slotName is what PostgreSQL takes.
	slotName        = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)
	publicationName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
	bucketName      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	sqlIdentifier   = regexp.MustCompile(`^([^".\s]+|"([^"]|"")+")(\.([^".\s]+|"([^"]|"")+"))?$`)
)

// systemSource is a system and where it stands.
type systemSource struct {
	*System
	at value
}

func (l *loader) systemsSection(v value) {
	l.entries(v, "systems", func(key, val value) {
		name := key.node.Value
		if !systemName.MatchString(name) {
			l.report(key, BadName, "letters, digits, _ and -, beginning with a letter", "%s cannot be the name of a system", said(name))
		}
		if was, ok := l.systems[name]; ok {
			l.report(key, DuplicateID, "", "a system %s is already declared in %s", name, was.at.doc.name)
			return
		}
		s := &systemSource{&System{Name: name}, key}
		l.systems[name] = s
		l.cfg.Systems = append(l.cfg.Systems, s.System)
		l.system(s, val)
	})
}

// system reads one system. Which keys it has depends on its type, which is therefore looked for first.
func (l *loader) system(s *systemSource, v value) {
	known := fields{"type": func(value) {}}
	var need []string
	switch s.Type = l.systemType(v); s.Type {
	case TypePostgres:
		s.Postgres = &Postgres{}
		known["url"] = func(v value) { l.url(v, &s.Postgres.URL, "postgres", "postgresql") }
		need = []string{"url"}
	case TypeSQLite:
		s.SQLite = &SQLite{}
		known["path"] = func(v value) { l.databasePath(v, &s.SQLite.Path) }
		known["url"] = func(v value) { l.sqliteURL(v, &s.SQLite.Path) }
		need = []string{"path"}
	case TypeRedis:
		s.Redis = &Redis{Format: RedisJSON}
		known["url"] = func(v value) { l.url(v, &s.Redis.URL, "redis", "rediss", "unix") }
		known["format"] = func(v value) { choose(&l.decoder, v, &s.Redis.Format, nil, RedisJSON, RedisHash) }
		known["key"] = func(v value) { l.keyTemplate(v, &s.Redis.Key) }
		known["ttl"] = func(v value) { l.duration(v, &s.Redis.TTL, time.Millisecond) }
		need = []string{"url"}
	case TypeNATSKV:
		s.NATSKV = &NATSKV{URL: NewSecret(embedded), Bucket: s.Name}
		known["url"] = func(v value) {
			if v.node.Value != embedded {
				l.url(v, &s.NATSKV.URL, "nats", "tls")
			}
		}
		known["bucket"] = func(v value) {
			l.name(v, &s.NATSKV.Bucket, bucketName, "letters, digits, _ and -")
		}
	case TypeSearch:
		s.Search = &Search{}
		known["path"] = func(v value) { l.path(v, &s.Search.Path) }
		need = []string{"path"}
	case TypeWebhook:
		s.Webhook = &Webhook{Timeout: 15 * time.Second}
		known["url"] = func(v value) { l.url(v, &s.Webhook.URL, "https", "http") }
		known["secret"] = func(v value) { l.secret(v, &s.Webhook.Secret) }
		known["timeout"] = func(v value) { l.duration(v, &s.Webhook.Timeout, 10*time.Millisecond) }
		known["allow_private"] = func(v value) { l.boolean(v, &s.Webhook.AllowPrivate) }
		need = []string{"url"}
	case TypeHTTP:
		need = []string{"capture"}
		if captures(v) == ModePoll {
			s.Service = &Service{Rate: 10, Timeout: 30 * time.Second, MaxAnswer: 16 << 20}
			maps.Copy(known, l.serviceFields(s.Service))
			need = append(need, "url")
		}
	default:
		l.references(v)
		return
	}
	if s.Type.CanApply() && !s.Type.Events() {
		known["conflict"] = func(v value) {
			seen := l.object(v, "conflict", fields{
				"strategy": func(v value) { choose(&l.decoder, v, &s.Conflict.Strategy, nil, conflict.Strategies...) },
			}, nil)
			l.need(v, seen, "conflict", "strategy")
		}
	}
	if s.Type.CanCapture() {
		known["capture"] = func(v value) { l.capture(s, v) }
	} else {
		known["capture"] = func(v value) {
			l.report(v, NotASource, "remove capture", "a system of type %s cannot be a source", s.Type)
		}
	}
	seen := l.object(v, "a system of type "+string(s.Type), known, nil)
	if at, ok := seen["url"]; ok && s.SQLite != nil {
		if _, both := seen["path"]; both {
			l.report(at, DuplicateKey, "give path or url", "%s has a path already", v.path)
		}
		seen["path"] = at
	}
	l.need(v, seen, "system "+s.Name, need...)
	if s.Service != nil {
		l.checkService(s.Service, seen)
	}
	if at, ok := seen["url"]; ok && s.Webhook != nil && !s.Webhook.AllowPrivate && strings.HasPrefix(s.Webhook.URL.Reveal(), "http:") {
		l.report(at, BadURL, "https://…, or allow_private: true for an endpoint in the local network", "%s has no TLS", at.path)
	}
}

// references checks those in a system of an unknown type, and that no password is spelled out there: nothing else can be said of its keys.
func (l *loader) references(v value) {
	if v.node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		name := v.node.Content[i].Value
		val := v.child(v.node.Content[i+1], v.field(name))
		if name == "type" || val.node.Kind != yaml.ScalarNode || !l.enter(&val) {
			continue
		}
		l.plainPasswords(val, "")
		l.expand(val)
	}
}

// systemType returns the type that the mapping names, "" where it names none that can be used.
func (l *loader) systemType(v value) Type {
	var names []string
	for _, t := range types {
		names = append(names, string(t.name))
	}
	var found *value
	switch {
	case l.isMapping(v):
		v.openKeys()
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			if v.node.Content[i].Value == "type" {
				t := v.child(v.node.Content[i+1], v.field("type"))
				found = &t
				break
			}
		}
	case v.node.Tag != "!!null":
		l.report(v, WrongType, "", "%s must be a mapping, not %s", v.path, typeName(v.node))
		return ""
	}
	if found == nil {
		l.report(v, MissingField, oneOf(names), "%s has no type", v.path)
		return ""
	}
	text, ok := l.text(*found)
	if !ok {
		return ""
	}
	t := Type(text)
	switch {
	case t.CanCapture() || t.CanApply():
		return t
	case slices.Contains(laterTypes, t):
		l.report(*found, NotAvailable, oneOf(names), "systems of type %s are not available in this version", t)
	default:
		l.report(*found, UnknownType, suggestName(text, names), "there is no system type %s", found.shown())
	}
	return ""
}

func (l *loader) capture(s *systemSource, v value) {
	c := &Capture{Mode: ModeCDC, Initial: true}
	s.Capture = c
	known := fields{}
	if s.Type == TypeHTTP {
		c.Mode, c.Initial = captureMode(v, ModePush, ModePoll), false
		known["mode"] = func(v value) { choose(&l.decoder, v, &c.Mode, nil, ModePush, ModePoll) }
	} else {
		c.Mode = captureMode(v, ModeCDC, ModePoll)
		known["mode"] = func(v value) { choose(&l.decoder, v, &c.Mode, nil, ModeCDC, ModePoll) }
		if c.Mode == ModeCDC {
			known["manage"] = func(v value) { l.boolean(v, &c.Manage) }
		}
	}
	if c.Mode != ModePush {
		c.Initial = true
		known["snapshot"] = func(v value) {
			kind := "initial"
			choose(&l.decoder, v, &kind, nil, "initial", "never")
			c.Initial = kind == "initial"
		}
	}
	if s.Type == TypePostgres && c.Mode == ModeCDC {
		c.Slot = "syncline_" + strings.ToLower(strings.ReplaceAll(s.Name, "-", "_"))
		c.Slot = c.Slot[:min(len(c.Slot), 63)]
		c.Publication = c.Slot
		known["slot"] = func(v value) { l.name(v, &c.Slot, slotName, "lower-case letters, digits and _, at most 63") }
		known["publication"] = func(v value) {
			l.name(v, &c.Publication, publicationName, "letters, digits and _, at most 63, not beginning with a digit")
		}
		c.Heartbeat, c.WALBudget = defaultHeartbeat, defaultBudget()
		known["heartbeat"] = func(v value) { l.duration(v, &c.Heartbeat, time.Second) }
		known["wal_budget"] = func(v value) { l.walBudget(v, c.WALBudget) }
	}
	known["entities"] = func(v value) { l.entities(s, v) }
	seen := l.object(v, "capture of a system of type "+string(s.Type), known, nil)
	l.need(v, seen, "capture of "+s.Name, "entities")
	if at, ok := seen["wal_budget"]; ok {
		l.mayRelease(c, at)
	}
}

func (l *loader) entities(s *systemSource, v value) {
	l.entries(v, "entities", func(key, val value) {
		e := &Entity{Name: key.node.Value}
		s.Capture.Entities = append(s.Capture.Entities, e)
		if !entityName.MatchString(e.Name) {
			l.report(key, BadName, "letters, digits, _ and -, beginning with a letter", "%s cannot be the name of an entity", said(e.Name))
		}
		known := fields{
			"key": func(v value) {
				l.list(v, v.path, true, func(v value) { l.fieldName(v, &e.Key) })
				l.some(v, "name the fields that tell records apart, or leave it out")
			},
			"version": func(v value) {
				if text, ok := l.text(v); ok {
					e.Version = text
				}
			},
			"type_when": func(v value) { l.typeWhen(v, e) },
			"priority":  func(v value) { e.Priority = l.priorityExpression(v) },
		}
		if s.Type.SQL() {
			e.Table = e.Name
			known["table"] = func(v value) {
				l.name(v, &e.Table, sqlIdentifier, `table, schema.table, or with double quotes as in SQL: 'public."Order lines"'`)
			}
		}
		what := "an entity of a system of type " + string(s.Type)
		polled := s.Capture.Mode == ModePoll
		if polled {
			what = "a polled entity of a system of type " + string(s.Type)
			maps.Copy(known, l.pollFields(e))
			if s.Type.SQL() {
				known["query"] = func(v value) { l.polledQuery(v, e) }
			} else {
				maps.Copy(known, l.listingFields(e))
			}
		}
		seen := l.object(val, what, known, nil)
		if polled {
			l.checkPolled(e, seen)
			l.checkPolledSQL(s, e, val, seen)
		}
		at := val
		if val.node.Tag == "!!null" {
			at = key
		}
		switch {
		case e.Listing != nil:
			l.checkListing(e, at, seen)
		case s.Type == TypeHTTP:
			l.need(at, seen, "pushed entity "+e.Name, "key")
		}
	})
	if len(s.Capture.Entities) == 0 && l.isMapping(v) {
		l.report(v, MissingField, "name at least one: {customer: {table: public.customer}}", "%s is empty", v.path)
	}
}

// need reports the keys that are missing.
func (l *loader) need(v value, seen map[string]value, what string, keys ...string) {
	if !l.isMapping(v) && v.node.Tag != "!!null" {
		return
	}
	for _, k := range keys {
		if _, ok := seen[k]; !ok {
			missing := v
			missing.path = v.field(k)
			l.report(missing, MissingField, "add "+k, "%s has no %s", what, k)
		}
	}
}

// some refuses an empty list.
func (l *loader) some(v value, suggestion string) {
	if v.node.Kind == yaml.SequenceNode && len(v.node.Content) == 0 {
		l.report(v, BadValue, suggestion, "%s is empty", v.path)
	}
}

// name reads text of a form.
func (l *loader) name(v value, dst *string, form *regexp.Regexp, allowed string) {
	text, ok := l.text(v)
	if !ok {
		return
	}
	if !form.MatchString(text) {
		l.report(v, BadName, allowed, "%s cannot be %s", v.path, v.shown())
		return
	}
	*dst = text
}

// fieldName appends a field to the list, each once.
func (l *loader) fieldName(v value, dst *[]string) {
	text, ok := l.text(v)
	switch {
	case !ok:
	case slices.Contains(*dst, text):
		l.report(v, DuplicateID, "", "%s is listed twice", v.shown())
	default:
		*dst = append(*dst, text)
	}
}

// placeholder is {name} in a key template, once {{ and }} are taken out.
var placeholder = regexp.MustCompile(`\{[^{}]+\}`)

func (l *loader) keyTemplate(v value, dst *string) {
	text, ok := l.text(v)
	if !ok {
		return
	}
	plain := strings.NewReplacer("{{", "", "}}", "").Replace(text)
	names := placeholder.FindAllString(plain, -1)
	switch {
	case strings.ContainsAny(placeholder.ReplaceAllString(plain, ""), "{}"):
		l.report(v, BadValue, "{object}, {key} or {column}; {{ and }} are braces", "%s has an unmatched brace", v.path)
	case !slices.ContainsFunc(names, func(n string) bool { return n != "{object}" }):
		l.report(v, BadValue, `"{object}:{key}"`, "%s must contain {key} or columns of the key, or all records would be one", v.path)
	default:
		*dst = text
	}
}
