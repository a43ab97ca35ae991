package config

import (
	"net/url"
	"slices"
	"strings"
)

// secret reads a value that must be a reference.
func (l *loader) secret(v value, dst *Secret) {
	v.doc.hide(v.node)
	text, ok := l.text(v)
	if !ok {
		return
	}
	if !strings.Contains(v.node.Value, "${") {
		l.report(v, PlainSecret, "put it in the environment or a file: ${NAME}, ${file:/run/secrets/name}", "%s stands in the file", v.path)
		return
	}
	*dst = NewSecret(text)
}

// url reads a URL of one of the schemes; for PostgreSQL also keywords and values. A password in it must be a reference. What is
// wrong with it is told without repeating it.
func (l *loader) url(v value, dst *Secret, schemes ...string) {
	v.doc.hide(v.node)
	l.plainPasswords(v, schemes[0])
	text, ok := l.text(v)
	if !ok {
		return
	}
	*dst = NewSecret(text)
	if schemes[0] == "postgres" && !strings.Contains(text, "://") && strings.Contains(text, "=") {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		l.report(v, BadURL, schemes[0]+"://…", "%s is not a URL", v.path)
	case !slices.Contains(schemes, u.Scheme):
		l.report(v, BadURL, oneOf(suffixed(schemes, "://")), "%s has another scheme than this system takes", v.path)
	case strayAt(text, u.Scheme):
		l.report(v, BadURL, "write @ in a user name or a password as %40, and / as %2F", "%s has an @ that does not stand before its host", v.path)
	case u.Opaque != "", u.Host == "" && u.Scheme != "unix" && !strings.HasPrefix(u.Scheme, "postgres"):
		l.report(v, BadURL, schemes[0]+"://host…", "%s names no host", v.path)
	}
}

// strayAt reports whether the URL has an @ where whoever reads it next would take a piece of a password for the host, or for the
// path of a database, and show it.
func strayAt(text, scheme string) bool {
	_, rest, _ := strings.Cut(text, "://")
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest = rest[:end]
	}
	authority, path, _ := strings.Cut(rest, "/")
	return strings.Count(authority, "@") > 1 || scheme != "unix" && !strings.HasPrefix(scheme, "http") && strings.Contains(path, "@")
}

func suffixed(list []string, suffix string) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i] + suffix
	}
	return out
}

// databasePath reads the path of a SQLite file.
func (l *loader) databasePath(v value, dst *string) {
	if text, ok := l.text(v); ok {
		l.databaseFile(v, text, dst)
	}
}

func (l *loader) sqliteURL(v value, dst *string) {
	v.doc.hide(v.node)
	text, ok := l.text(v)
	if !ok {
		return
	}
	path, ok := sqlitePath(text)
	if !ok {
		l.report(v, BadURL, "sqlite:./file.db", "%s must begin with sqlite:", v.path)
		return
	}
	l.databaseFile(v, path, dst)
}

func (l *loader) databaseFile(v value, path string, dst *string) {
	if path == ":memory:" || strings.HasPrefix(path, "file:") {
		l.report(v, BadValue, "a path like ./file.db", "%s must be a file", v.path)
		return
	}
	*dst = resolvePath(v.doc.dir, path)
}

// sqlitePath returns the path in sqlite:path, sqlite://path or sqlite:///path.
func sqlitePath(text string) (string, bool) {
	path, ok := strings.CutPrefix(text, "sqlite:")
	path = strings.TrimPrefix(path, "//")
	return path, ok && path != ""
}
