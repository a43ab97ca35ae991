package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/search/query"
	index "github.com/blevesearch/bleve_index_api"

	"syncline"
)

// Index is one object: its records, and the cursors of the routes that call it their own.
type Index struct {
	name  string
	bleve bleve.Index

	// mu is held from reading versions to writing what was decided by them: an index has one writer at a time. Searching
	// needs no lock.
	mu sync.Mutex
	// purged is when tombstones were last looked through.
	purged time.Time
}

// Hit is a record that a search found.
type Hit struct {
	Key   syncline.Key
	Score float64
	// Document is the record as package document writes it.
	Document json.RawMessage
}

// Search returns the size best records for a query in Bleve's query string syntax: `手机`, `name:wang +tier:gold`,
// `total:>100`, `placed:>="2024-01-01"`, `_key:42`. A query that cannot be read is a rejected error.
func (ix *Index) Search(ctx context.Context, text string, size int) ([]Hit, error) {
	q := bleve.NewQueryStringQuery(text)
	if _, err := q.Parse(); err != nil {
		return nil, syncline.Errorf(syncline.Rejected, "search_query", "read the query: %w", err).
			WithFix("write words, field:word, field:>number, and quotes around phrases")
	}
	least := 0.0
	tombstones := bleve.NewNumericRangeQuery(&least, nil)
	tombstones.SetField(goneField)
	request := bleve.NewSearchRequestOptions(query.NewBooleanQuery([]query.Query{q}, nil, []query.Query{tombstones}), size, 0, false)
	request.Fields = []string{rowField}
	result, err := ix.bleve.SearchInContext(ctx, request)
	if err != nil {
		return nil, ix.failed("search", err)
	}
	hits := make([]Hit, len(result.Hits))
	for i, h := range result.Hits {
		row, _ := h.Fields[rowField].(string)
		hits[i] = Hit{Key: recordKey(h.ID), Score: h.Score, Document: json.RawMessage(row)}
	}
	return hits, nil
}

func (ix *Index) failed(doing string, err error) error {
	var se *syncline.Error
	if errors.As(err, &se) {
		return err
	}
	return syncline.Errorf(syncline.Transient, "search_unavailable", "%s index %s: %w", doing, ix.name, err)
}

// documentID is never empty, which a key may be.
func documentID(key syncline.Key) string { return "k" + string(key) }

func recordKey(id string) syncline.Key { return syncline.Key(id[1:]) }

// entry is what the index knows of a key without looking at the document.
type entry struct {
	version int64
	live    bool
}

// text is the entry's term: a letter, l for a live record and d for a tombstone, and the version in 19 digits.
func (e entry) text() []byte {
	letter := 'd'
	if e.live {
		letter = 'l'
	}
	return fmt.Appendf(nil, "%c%019d", letter, e.version)
}

func parseEntry(term []byte) (entry, error) {
	if len(term) != 20 || term[0] != 'l' && term[0] != 'd' {
		return entry{}, errors.New("an entry that is not ours")
	}
	version, err := strconv.ParseInt(string(term[1:]), 10, 64)
	return entry{version: version, live: term[0] == 'l'}, err
}

// reader is a snapshot of the index.
type reader struct {
	index.IndexReader
	versions index.DocValueReader
}

func (ix *Index) reader() (*reader, error) {
	advanced, err := ix.bleve.Advanced()
	if err != nil {
		return nil, err
	}
	r, err := advanced.Reader()
	if err != nil {
		return nil, err
	}
	versions, err := r.DocValueReader([]string{versionField})
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return &reader{r, versions}, nil
}

// each calls fn with the entries of these documents, or of all where ids is nil.
func (r *reader) each(ctx context.Context, ids []string, fn func(id string, e entry) error) (err error) {
	var list index.DocIDReader
	if ids == nil {
		list, err = r.DocIDReaderAll()
	} else {
		list, err = r.DocIDReaderOnly(ids)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	for n := 0; ; n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		internal, err := list.Next()
		if err != nil || internal == nil {
			return err
		}
		id, err := r.ExternalID(internal)
		if err != nil {
			return err
		}
		var e entry
		var bad error
		err = r.versions.VisitDocValues(internal, func(_ string, term []byte) { e, bad = parseEntry(term) })
		if err = errors.Join(err, bad); err != nil {
			return err
		}
		if err := fn(id, e); err != nil {
			return err
		}
	}
}

// document returns the stored text of a live record, nil where there is none.
func (r *reader) document(id string) ([]byte, error) {
	d, err := r.Document(id)
	if err != nil || d == nil {
		return nil, err
	}
	var text []byte
	d.VisitFields(func(f index.Field) {
		if f.Name() == rowField {
			text = append([]byte(nil), f.Value()...)
		}
	})
	return text, nil
}
