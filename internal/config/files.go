package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds one file of the configuration.
const maxFile = 4 << 20

// File is a file of a configuration, as it was written.
type File struct {
	// Name is the file's path, for messages.
	Name string
	Text []byte
}

// Load reads the file, or the directory's *.yaml and *.yml files as one, and resolves references through env (nil =
// the process's environment). The Config is nil exactly when there are problems.
func Load(path string, env func(string) (string, bool)) (*Config, Problems) {
	files, problems := Files(path)
	c, more := Read(files, "", env)
	if problems = append(problems, more...); len(problems) > 0 {
		problems.sort()
		return nil, problems
	}
	return c, nil
}

// Files returns what a path stands for, in the order of the names: the file, or the directory's *.yaml and *.yml files.
func Files(path string) ([]File, Problems) {
	names, err := list(path)
	if err != nil {
		return nil, Problems{{File: path, Code: Unreadable, Message: err.Error(), Suggestion: "`syncline init` writes a file to begin with"}}
	}
	var files []File
	var problems Problems
	for _, name := range names {
		data, err := readFile(name)
		if err != nil {
			problems = append(problems, Problem{File: name, Code: Unreadable, Message: err.Error()})
			continue
		}
		files = append(files, File{name, data})
	}
	return files, problems
}

// Read is Load of files whose text is at hand. Relative paths in them are relative to dir; "" = to the directory of each.
func Read(files []File, dir string, env func(string) (string, bool)) (*Config, Problems) {
	if env == nil {
		env = os.LookupEnv
	}
	l := newLoader(env)
	l.addAll(files, dir)
	return l.finish()
}

// ReadDraft is Read of a draft that may have rules alone: one that names no systems has those of base, a configuration that is at work.
func ReadDraft(files, base []File, dir string, env func(string) (string, bool)) (*Config, Problems) {
	if env == nil {
		env = os.LookupEnv
	}
	l := newLoader(env)
	if l.addAll(files, dir); len(l.systems) == 0 && len(l.rules) > 0 {
		l.only = "systems"
		l.addAll(base, dir)
	}
	return l.finish()
}

// Endpoint returns where a server with these files serves its API, and whether with TLS, whatever else is in them. What they do not say, or
// what cannot be read, is the default.
func Endpoint(files []File) HTTP {
	l := newLoader(os.LookupEnv)
	l.only = "http"
	l.addAll(files, "")
	return l.cfg.HTTP
}

func (l *loader) addAll(files []File, dir string) {
	for _, f := range files {
		within := dir
		if within == "" {
			within = filepath.Dir(f.Name)
		}
		l.add(f.Name, within, f.Text)
	}
}

// list returns the files that a path stands for, in the order of their names.
func list(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("no such file or directory")
	case err != nil:
		return nil, errors.New("cannot be read")
	case !info.IsDir():
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, errors.New("the directory cannot be read")
	}
	var names []string
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && (ext == ".yaml" || ext == ".yml") {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the directory has no *.yaml or *.yml file")
	}
	return names, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, errors.New("cannot be opened")
	}
	defer f.Close() //nolint:errcheck // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, errors.New("cannot be read")
	case len(data) > maxFile:
		return nil, fmt.Errorf("is larger than %d bytes", maxFile)
	}
	return data, nil
}
