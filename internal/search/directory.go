// Package search applies changes to full-text indexes on disk (Bleve): one index for each object, one document for each
// record.
//
// Strings are analysed for Chinese, Japanese and Korean as well as for languages with spaces; numbers, booleans and times
// are searchable by range; the record's key is the keyword field _key. The document of package document is stored beside
// them and is what Search and Scan return.
//
// Each record carries its version, behind which nothing goes back; a deleted one leaves a tombstone for a while. The cursor
// is in the index of the route's object, in the same batch as the records: after a crash both are there or neither. A route with
// several objects keeps it with the first in the alphabet and writes the others' batches before, and their records' versions make the repetition harmless.
package search

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/index/scorch"

	"syncline"
)

// Directory holds indexes, each open once however many routes write it. Its methods are safe for concurrent use.
type Directory struct {
	path string

	mu      sync.Mutex
	indexes map[string]*Index
	closed  bool
}

// Open makes the directory if it is missing. Indexes are opened at their first use.
func Open(path string) (*Directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "search_directory", "make the search directory: %w", err).
			WithFix("give the search system a path that can be written")
	}
	return &Directory{path: path, indexes: map[string]*Index{}}, nil
}

// suffix tells an index from what else may lie in the directory.
const suffix = ".bleve"

// lockPatience is how long another process' lock on an index is waited for, which may be dying.
const lockPatience = "3s"

// Index returns the index of this name, making it if it is missing.
func (d *Directory) Index(name string) (*Index, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, syncline.Errorf(syncline.Transient, "search_closed", "open index %s: the directory was closed", name)
	}
	if ix := d.indexes[name]; ix != nil {
		return ix, nil
	}
	path := filepath.Join(d.path, url.PathEscape(name)+suffix)
	b, err := open(path)
	if err != nil {
		return nil, openError(name, err)
	}
	ix := &Index{name: name, bleve: b}
	d.indexes[name] = ix
	return ix, nil
}

// settings returns a new map each time: Bleve writes into it.
func settings() map[string]any { return map[string]any{"bolt_timeout": lockPatience} }

func open(path string) (bleve.Index, error) {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return bleve.OpenUsing(path, settings())
	}
	m, err := newMapping()
	if err != nil {
		return nil, err
	}
	// An index comes into being by the rename: one that a crash left half made is never opened.
	making := path + ".new"
	if err := os.RemoveAll(making); err != nil {
		return nil, err
	}
	b, err := bleve.NewUsing(making, m, scorch.Name, scorch.Name, settings())
	if err != nil {
		return nil, err
	}
	if err := b.Close(); err != nil {
		return nil, err
	}
	if err := os.Rename(making, path); err != nil {
		return nil, err
	}
	return bleve.OpenUsing(path, settings())
}

func openError(name string, err error) error {
	switch {
	case errors.Is(err, bleve.ErrorIndexMetaMissing), errors.Is(err, bleve.ErrorIndexMetaCorrupt), errors.Is(err, bleve.ErrorUnknownIndexType):
		return syncline.Errorf(syncline.Fatal, "search_damaged", "open index %s: %w", name, err).
			WithFix("move the index's directory away, then `syncline sync SYSTEM/ENTITY --route ROUTE`")
	}
	return syncline.Errorf(syncline.Transient, "search_unavailable", "open index %s: %w", name, err).
		WithFix("check that the directory can be written and that no other process has the index open")
}

// Close closes all indexes. Repeating it does nothing.
func (d *Directory) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	var errs []error
	for _, ix := range d.indexes {
		ix.mu.Lock() // a batch in hand ends first
		errs = append(errs, ix.bleve.Close())
		ix.mu.Unlock()
	}
	clear(d.indexes)
	return errors.Join(errs...)
}

// Check looks whether the directory, or the nearest one above it that is there, can be written. It makes neither directory nor
// index.
func Check(path string) []syncline.Finding {
	dir := path
	for {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	f, err := os.CreateTemp(dir, ".check-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return []syncline.Finding{{Level: "fail", Code: "search_directory", What: "the search directory cannot be written: " + strings.ReplaceAll(err.Error(), dir, "…"),
			Fix: "give the user that runs syncline the right to write there"}}
	}
	if dir != path {
		return []syncline.Finding{{Level: "ok", What: "the search directory will be made"}}
	}
	return []syncline.Finding{{Level: "ok", What: "the search directory can be written"}}
}
