package transform

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"syncline"
	"syncline/internal/expression"
)

// maxTable bounds a lookup file, in bytes.
const maxTable = 64 << 20

// table is a lookup file in memory. It is looked at again when a batch begins, at most once in its interval; what cannot be read then is
// reported once, and the entries stay as they were. It is safe for concurrent use.
type table struct {
	TableFile
	kind syncline.Kind

	mu      sync.Mutex
	log     *slog.Logger
	entries map[string]syncline.Value // never changed: replaced
	size    int64
	changed time.Time
	looked  time.Time
}

func openTable(f TableFile, kind syncline.Kind) (*table, error) {
	t := &table{TableFile: f, kind: kind, log: slog.New(slog.DiscardHandler)}
	if t.Reload == 0 {
		t.Reload = 5 * time.Second
	}
	if err := t.load(); err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "bad_step", "%w", err)
	}
	t.looked = time.Now()
	return t, nil
}

func (t *table) logTo(log *slog.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = log
}

// current returns the entries, those of the file as it now is where it is time to look.
func (t *table) current() map[string]syncline.Value {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.looked) >= t.Reload {
		t.looked = now
		info, err := os.Stat(t.Path)
		if err == nil && (info.Size() != t.size || !info.ModTime().Equal(t.changed)) {
			t.size, t.changed = info.Size(), info.ModTime() // a file that is broken is reported once
			if err = t.load(); err == nil {
				t.log.Info("lookup file read again", "path", t.Path, "entries", len(t.entries))
			}
		}
		if err != nil {
			t.log.Warn("lookup file cannot be read again: its earlier entries stay in use", "path", t.Path, "error", err)
		}
	}
	return t.entries
}

func (t *table) load() error {
	f, err := os.Open(t.Path)
	if err != nil {
		return fmt.Errorf("the lookup file %s cannot be opened", filepath.Base(t.Path))
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("the lookup file %s cannot be read", filepath.Base(t.Path))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxTable+1))
	if err == nil && len(data) > maxTable {
		err = fmt.Errorf("is larger than %d bytes", maxTable)
	}
	var entries map[string]syncline.Value
	if err == nil {
		if strings.EqualFold(filepath.Ext(t.Path), ".json") {
			entries, err = t.readJSON(data)
		} else {
			entries, err = t.readCSV(data)
		}
	}
	if err != nil {
		return fmt.Errorf("the lookup file %s: %w", filepath.Base(t.Path), err)
	}
	t.entries, t.size, t.changed = entries, info.Size(), info.ModTime()
	return nil
}

func (t *table) add(entries map[string]syncline.Value, place string, key, value syncline.Value) error {
	k := entryKey(key)
	if _, ok := entries[k]; ok {
		return fmt.Errorf("%s has a key that was there before", place)
	}
	v, err := expression.Convert(value, syncline.KindNull, t.kind)
	if err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	entries[k] = v
	return nil
}

// readCSV reads a file whose first line names its columns; without names for key and value it is the first and the second.
func (t *table) readCSV(data []byte) (map[string]syncline.Value, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	r.TrimLeadingSpace = true
	head, err := r.Read()
	if err != nil {
		return nil, errors.New("it has no line with the names of its columns")
	}
	find := func(name string, otherwise int) (int, error) {
		at := otherwise
		if name != "" {
			at = slices.Index(head, name)
		}
		if at < 0 || at >= len(head) {
			return 0, fmt.Errorf("its first line does not name the column %q", name)
		}
		return at, nil
	}
	key, err := find(t.Key, 0)
	if err != nil {
		return nil, err
	}
	value, err := find(t.Value, 1)
	if err != nil {
		return nil, err
	}
	entries := map[string]syncline.Value{}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		line, _ := r.FieldPos(0)
		if err != nil {
			var at *csv.ParseError
			if errors.As(err, &at) {
				return nil, fmt.Errorf("line %d is not CSV with %d columns", at.Line, len(head))
			}
			return nil, errors.New("it cannot be read")
		}
		v := syncline.Text(record[value])
		if record[value] == "" && t.kind != syncline.KindText {
			v = syncline.Null
		}
		if err := t.add(entries, fmt.Sprintf("line %d", line), syncline.Text(record[key]), v); err != nil {
			return nil, err
		}
	}
}

// readJSON reads an object of values, or of objects that have the value, or a list of objects that have both.
func (t *table) readJSON(data []byte) (map[string]syncline.Value, error) {
	entries := map[string]syncline.Value{}
	read := func(place string, key syncline.Value, text []byte) error {
		v, err := fromJSON(text)
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		return t.add(entries, place, key, v)
	}
	member := func(place, name string, o map[string]json.RawMessage) (json.RawMessage, error) {
		if text, ok := o[name]; ok && name != "" {
			return text, nil
		}
		return nil, fmt.Errorf("%s has no field %q", place, name)
	}
	var list []map[string]json.RawMessage
	if json.Unmarshal(data, &list) == nil {
		for i, o := range list {
			place := fmt.Sprintf("entry %d", i+1)
			text, err := member(place, t.Key, o)
			if err != nil {
				return nil, err
			}
			key, err := fromJSON(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", place, err)
			}
			if text, err = member(place, t.Value, o); err != nil {
				return nil, err
			}
			if err := read(place, key, text); err != nil {
				return nil, err
			}
		}
		return entries, nil
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return nil, errors.New("it is neither a JSON object nor a list of objects")
	}
	for i, name := range slices.Sorted(maps.Keys(object)) {
		text, place := object[name], fmt.Sprintf("entry %d by name", i+1)
		if t.Value != "" {
			var o map[string]json.RawMessage
			if json.Unmarshal(text, &o) != nil {
				return nil, fmt.Errorf("%s is no object", place)
			}
			var err error
			if text, err = member(place, t.Value, o); err != nil {
				return nil, err
			}
		}
		if err := read(place, syncline.Text(name), text); err != nil {
			return nil, err
		}
	}
	return entries, nil
}
