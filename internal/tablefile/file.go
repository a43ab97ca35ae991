// Package tablefile reads files of rows that are found by a key, CSV or JSON, and reads them again when they change.
package tablefile

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"syncline"
	"syncline/internal/expression"
)

// maxSize bounds a file, in bytes.
const maxSize = 64 << 20

// Options describe a file: JSON by its name's end, else CSV with a line of names.
type Options struct {
	Path string
	// Key names what rows are found by. CSV: "" = the first column. JSON: a list of objects needs it, the names of an object are the keys.
	Key string
	// Columns are what a row has, at least one.
	Columns []Column
	// Reload is how often the file is looked at; 0 = 5 s.
	Reload time.Duration
}

// Column is what is read of each row.
type Column struct {
	// Name is a column of CSV, or a field of a JSON object or a path into it (`price.net`). "" = CSV: the second column, JSON: the value
	// that stands for the key.
	Name string
	Kind syncline.Kind
	// Optional: an object of JSON that lacks it has null, as long as another one has it.
	Optional bool
}

// Rows are what a file holds. They never change.
type Rows map[string][]syncline.Value

// Find returns the row of the key, nil where there is none. Equal values find each other whatever their kind: a text 7 is found by the
// number.
func (r Rows) Find(key syncline.Value) []syncline.Value { return r[string(syncline.MakeKey(key))] }

// File is a file in memory. What cannot be read again is reported once, and the rows stay as they were. It is safe for concurrent use.
type File struct {
	o Options

	mu      sync.Mutex
	log     *slog.Logger
	rows    Rows
	size    int64
	changed time.Time
	looked  time.Time
	missing bool // it could not be looked at last, which was reported
}

// Open reads the file.
func Open(o Options) (*File, error) {
	f := &File{o: o, log: slog.New(slog.DiscardHandler)}
	if f.o.Reload == 0 {
		f.o.Reload = 5 * time.Second
	}
	if err := f.load(); err != nil {
		return nil, err
	}
	f.looked = time.Now()
	return f, nil
}

// LogTo says where it is reported that the file was read again, or cannot be. Without it, nowhere.
func (f *File) LogTo(log *slog.Logger) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = log
}

// Rows returns the rows, those of the file as it now is where it is time to look.
func (f *File) Rows() Rows {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= f.o.Reload {
		f.looked = now
		info, err := os.Stat(f.o.Path)
		told := f.missing && err != nil
		f.missing = err != nil
		if err == nil && (info.Size() != f.size || !info.ModTime().Equal(f.changed)) {
			f.size, f.changed = info.Size(), info.ModTime() // a file that is broken is reported once
			if err = f.load(); err == nil {
				f.log.Info("file read again", "path", f.o.Path, "rows", len(f.rows))
			}
		}
		if err != nil && !told {
			f.log.Warn("file cannot be read again: its earlier rows stay in use", "path", f.o.Path, "error", err)
		}
	}
	return f.rows
}

func (f *File) load() error {
	name := filepath.Base(f.o.Path)
	file, err := os.Open(f.o.Path)
	if err != nil {
		return fmt.Errorf("the file %s cannot be opened", name)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("the file %s cannot be read", name)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err == nil && len(data) > maxSize {
		err = fmt.Errorf("is larger than %d bytes", maxSize)
	}
	r := reader{Options: &f.o, rows: make(Rows)}
	if err == nil {
		if strings.EqualFold(filepath.Ext(f.o.Path), ".json") {
			err = r.readJSON(data)
		} else {
			err = r.readCSV(data)
		}
	}
	if err != nil {
		return fmt.Errorf("the file %s: %w", name, err)
	}
	f.rows, f.size, f.changed = r.rows, info.Size(), info.ModTime()
	return nil
}

// reader takes the rows out of a file's text.
type reader struct {
	*Options
	rows Rows
}

func (r *reader) add(place string, key syncline.Value, values []syncline.Value) error {
	k := string(syncline.MakeKey(key))
	if _, ok := r.rows[k]; ok {
		return fmt.Errorf("%s has a key that was there before", place)
	}
	for i, v := range values {
		var err error
		if values[i], err = expression.Convert(v, syncline.KindNull, r.Columns[i].Kind); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
	}
	r.rows[k] = values
	return nil
}
