package config

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"syncline/internal/health"
)

// loader collects what the files hold, then checks that it fits together.
type loader struct {
	decoder
	cfg       *Config
	base      string // the first file's directory: what the defaults are relative to
	docs      []*document
	versions  int
	once      map[string]string // section that may be given only once → file that gave it
	systems   map[string]*systemSource
	rules     []*ruleSource
	alerts    []*alertSource
	only      string // the one section that is read; "" = all
	schedules []*scheduleSource
	canary    value // health.canary, and its sources
	canaries  []value
}

func newLoader(env func(string) (string, bool)) *loader {
	return &loader{
		decoder: decoder{env: env},
		cfg: &Config{
			Log:    Log{Retain: 24 * time.Hour, MaxBytes: 20e9, OnFull: OnFullRelease},
			HTTP:   HTTP{Listen: "127.0.0.1:8484", Rate: 500, Concurrency: 256},
			Audit:  Audit{Retain: 365 * 24 * time.Hour},
			Health: Health{Window: 24 * time.Hour, Every: 10 * time.Minute, Thresholds: health.Defaults()},
		},
		once:    map[string]string{},
		systems: map[string]*systemSource{},
	}
}

// lineBreak is what YAML counts as the end of a line.
var lineBreak = regexp.MustCompile(`\r\n|[\n\r\x{85}\x{2028}\x{2029}]`)

var yamlErrorLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// add reads one file, whose relative paths are relative to dir.
func (l *loader) add(name, dir string, data []byte) {
	doc := &document{name: name, dir: dir}
	if abs, err := filepath.Abs(doc.dir); err == nil {
		doc.dir = abs
	}
	if l.base == "" {
		l.base = doc.dir
	}
	l.docs = append(l.docs, doc)
	doc.lines = lineBreak.Split(string(bytes.ToValidUTF8(bytes.TrimPrefix(data, []byte("\ufeff")), []byte("?"))), -1)
	if i := invalidUTF8(data); i >= 0 {
		before := data[:i]
		l.broken(doc, bytes.Count(before, []byte("\n"))+1, "the file is not UTF-8")
		return
	}
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return
		}
		l.yamlError(doc, err)
		return
	}
	doc.root = &root
	l.document(value{root.Content[0], doc, ""})
	var more yaml.Node
	switch err := dec.Decode(&more); {
	case err == nil:
		l.broken(doc, more.Line, "a file holds one YAML document, this is a second one")
	case !errors.Is(err, io.EOF):
		l.yamlError(doc, err)
	}
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

func (l *loader) yamlError(doc *document, err error) {
	m := yamlErrorLine.FindStringSubmatch(err.Error())
	line := 1
	if m != nil && m[1] != "" {
		line, _ = strconv.Atoi(m[1])
	}
	message := strings.TrimPrefix(yamlErrorLine.ReplaceAllString(err.Error(), ""), "yaml: ")
	if strings.HasPrefix(message, "unknown anchor") { // it would repeat what may be a password that begins with *
		message = "what begins with * names an anchor (&) that there is none of"
	}
	l.broken(doc, line, message)
}

func (l *loader) broken(doc *document, line int, message string) {
	line = min(max(line, 1), len(doc.lines))
	at := value{&yaml.Node{}, doc, ""}
	column := len(doc.lines[line-1]) - len(strings.TrimLeft(doc.lines[line-1], " \t")) + 1
	l.reportAt(at, line, column, BadYAML, "", "%s", message)
	l.problems[len(l.problems)-1].source = keysOnly(doc.lines[line-1])
}

func (l *loader) document(v value) {
	sections := fields{
		"version":   l.version,
		"log":       l.single("log", l.logSection),
		"state":     l.single("state", l.stateSection),
		"http":      l.single("http", l.httpSection),
		"audit":     l.single("audit", l.auditSection),
		"health":    l.single("health", l.healthSection),
		"traces":    l.single("traces", l.tracesSection),
		"systems":   l.systemsSection,
		"rules":     l.rulesSection,
		"channels":  l.channelsSection,
		"alerts":    l.alertsSection,
		"schedules": l.schedulesSection,
	}
	for name := range sections {
		if l.only != "" && name != l.only {
			sections[name] = func(value) {}
		}
	}
	l.object(v, "the configuration", sections, nil)
}

// single refuses a section that another file has given.
func (l *loader) single(name string, read func(value)) func(value) {
	return func(v value) {
		if was, ok := l.once[name]; ok {
			l.report(v, DuplicateKey, "give it in one file only", "%s is already given in %s", name, was)
			return
		}
		l.once[name] = v.doc.name
		read(v)
	}
}

func (l *loader) version(v value) {
	l.versions++
	var n int
	before := len(l.problems)
	l.integer(v, &n, 0, 1<<30)
	if len(l.problems) == before && n != 1 {
		l.report(v, BadVersion, "version: 1", "this program reads version 1, not %d", n)
	}
}

func (l *loader) logSection(v value) {
	c := &l.cfg.Log
	l.object(v, "log", fields{
		"dir":       func(v value) { l.path(v, &c.Dir) },
		"retain":    func(v value) { l.duration(v, &c.Retain, 0) },
		"max_bytes": func(v value) { l.size(v, &c.MaxBytes, 64<<20) },
		"on_full":   func(v value) { choose(&l.decoder, v, &c.OnFull, nil, OnFullRelease, OnFullPause) },
	}, nil)
}

func (l *loader) stateSection(v value) {
	l.object(v, "state", fields{"url": func(v value) {
		v.doc.hide(v.node)
		text, ok := l.text(v)
		if !ok {
			return
		}
		path, ok := sqlitePath(text)
		switch {
		case ok:
			l.databaseFile(v, path, &l.cfg.State.Path)
		case strings.HasPrefix(text, "postgres:"), strings.HasPrefix(text, "postgresql:"):
			l.report(v, NotAvailable, `"sqlite:./syncline-data/state.db"`, "a state store in PostgreSQL is not available in this version")
		default:
			l.report(v, BadURL, `"sqlite:./syncline-data/state.db"`, "state.url must begin with sqlite:")
		}
	}}, nil)
}

func (l *loader) httpSection(v value) {
	c := &l.cfg.HTTP
	l.object(v, "http", fields{
		"listen": func(v value) {
			if text, ok := l.text(v); ok {
				l.checkListen(v, text)
				c.Listen = text
			}
		},
		"tls":         l.tlsSection,
		"rate":        func(v value) { l.integer(v, &c.Rate, 1, 1_000_000) },
		"concurrency": func(v value) { l.integer(v, &c.Concurrency, 1, 100_000) },
	}, nil)
}

func (l *loader) tlsSection(v value) {
	c := &TLS{}
	l.cfg.HTTP.TLS = c
	seen := l.object(v, "http.tls", fields{
		"cert": func(v value) { l.path(v, &c.Cert) },
		"key":  func(v value) { l.path(v, &c.Key) },
	}, nil)
	l.need(v, seen, "http.tls", "cert", "key")
}

func (l *loader) auditSection(v value) {
	l.object(v, "audit", fields{"retain": func(v value) { l.duration(v, &l.cfg.Audit.Retain, 24*time.Hour) }}, nil)
}

// path reads a path relative to the file.
func (l *loader) path(v value, dst *string) {
	if text, ok := l.text(v); ok {
		*dst = resolvePath(v.doc.dir, text)
	}
}

// finish fills in what depends on other parts and checks the whole.
func (l *loader) finish() (*Config, Problems) {
	if l.versions == 0 && l.only == "" && len(l.docs) > 0 && !l.has(BadYAML) {
		l.problems = append(l.problems, Problem{File: l.docs[0].name, Code: MissingField, Path: "version",
			Message: "version is missing", Suggestion: "begin the file with: version: 1"})
	}
	if l.cfg.Log.Dir == "" {
		l.cfg.Log.Dir = resolvePath(l.base, "syncline-data/log")
	}
	if l.cfg.State.Path == "" {
		l.cfg.State.Path = resolvePath(l.base, "syncline-data/state.db")
	}
	for _, r := range l.rules {
		l.checkRule(r)
	}
	l.finishAlerts()
	for _, s := range l.schedules {
		l.checkSchedule(s)
	}
	l.implied()
	l.checkShared()
	l.checkSides()
	l.checkCycles()
	l.checkCanary()
	if len(l.problems) == 0 {
		return l.cfg, nil
	}
	for _, doc := range l.docs {
		l.source(doc)
	}
	l.unresolve()
	l.problems.sort()
	return nil, l.problems
}

func (l *loader) has(code Code) bool {
	return slices.ContainsFunc(l.problems, func(p Problem) bool { return p.Code == code })
}

// unresolve has problems tell of references, not of what they stand for.
func (l *loader) unresolve() {
	if len(l.resolved) == 0 {
		return
	}
	var pairs [][2]string
	for i := 0; i < len(l.resolved); i += 2 {
		text, quoted := l.resolved[i], strconv.Quote(l.resolved[i])
		pairs = append(pairs, [2]string{text, l.resolved[i+1]}, [2]string{quoted[1 : len(quoted)-1], l.resolved[i+1]})
	}
	slices.SortStableFunc(pairs, func(a, b [2]string) int { return cmp.Compare(len(b[0]), len(a[0])) }) // one may be a piece of another
	var flat []string
	for _, p := range pairs {
		flat = append(flat, p[0], p[1])
	}
	r := strings.NewReplacer(flat...)
	for i := range l.problems {
		p := &l.problems[i]
		p.Message, p.Suggestion = r.Replace(p.Message), r.Replace(p.Suggestion)
	}
}

// source gives the document's problems the lines that they are on.
func (l *loader) source(doc *document) {
	doc.conceal()
	for i := range l.problems {
		if p := &l.problems[i]; p.File == doc.name && p.Code != BadYAML && p.Line > 0 && p.Line <= len(doc.lines) {
			p.source = doc.lines[p.Line-1]
		}
	}
}
