package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxReferenced bounds a file that ${file:…} names.
const maxReferenced = 1 << 20

// minReferred is how long a text has to be that problems show as its reference: a shorter one is in many words.
const minReferred = 4

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand resolves the references in a text scalar: ${NAME}, ${NAME:-default}, ${file:path} (without its last line break);
// $${ is a plain ${. What is put in is not looked at again. It is false where something was reported.
func (d *decoder) expand(v value) (string, bool) {
	text := v.node.Value
	if !strings.Contains(text, "${") {
		return text, true
	}
	var b strings.Builder
	ok := true
	for pos := 0; pos < len(text); {
		i := strings.Index(text[pos:], "${")
		if i < 0 {
			b.WriteString(text[pos:])
			break
		}
		i += pos
		if i > pos && text[i-1] == '$' {
			b.WriteString(text[pos:i-1] + "${")
			pos = i + 2
			continue
		}
		b.WriteString(text[pos:i])
		end := strings.IndexByte(text[i:], '}')
		line, column := v.place(i)
		if end < 0 {
			d.reportAt(v, line, column, BadValue, "close it with }, or write $${ for a plain ${", "a reference is not closed")
			return "", false
		}
		got, code, err := d.resolve(v, text[i+2:i+end])
		if err != nil {
			fix := "set it, or give a default: ${NAME:-default}"
			switch {
			case code != MissingVariable:
				fix = "write ${NAME}, ${NAME:-default} or ${file:path}"
			case strings.HasPrefix(text[i:], "${file:"):
				fix = "the path is relative to the file that names it"
			}
			d.reportAt(v, line, column, code, fix, "%v", err)
			ok = false
		}
		b.WriteString(got)
		if name, def, _ := strings.Cut(text[i:i+end], ":-"); got != def && utf8.RuneCountInString(got) >= minReferred {
			d.resolved = append(d.resolved, got, name+"}")
		}
		pos = i + end + 1
	}
	return b.String(), ok
}

// place returns where the byte of the scalar's text stands in the file.
func (v value) place(offset int) (line, column int) {
	before := v.node.Value[:offset]
	return v.at(strings.Count(before, "\n")+1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])+1)
}

func (d *decoder) resolve(v value, reference string) (string, Code, error) {
	if path, ok := strings.CutPrefix(reference, "file:"); ok {
		text, err := readReferenced(resolvePath(v.doc.dir, path))
		if err != nil {
			return "", MissingVariable, fmt.Errorf("the referenced file %s %w", path, err)
		}
		return text, "", nil
	}
	name, def, hasDefault := strings.Cut(reference, ":-")
	if !variableName.MatchString(name) {
		return "", BadValue, errors.New("the reference is not a name of letters, digits and underscores")
	}
	if text, ok := d.env(name); ok && (text != "" || !hasDefault) {
		return text, "", nil
	}
	if !hasDefault {
		return "", MissingVariable, fmt.Errorf("the variable %s is not set", name)
	}
	return def, "", nil
}

func readReferenced(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("does not exist")
	case err != nil:
		return "", errors.New("cannot be read")
	case !info.Mode().IsRegular():
		return "", errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", errors.New("cannot be read")
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, maxReferenced+1))
	switch {
	case err != nil:
		return "", errors.New("cannot be read")
	case len(data) > maxReferenced:
		return "", fmt.Errorf("is larger than %d bytes", maxReferenced)
	case !utf8.Valid(data):
		return "", errors.New("is not UTF-8")
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

func resolvePath(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
