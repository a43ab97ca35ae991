package httppoll

import (
	"slices"
	"strings"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/document"
)

// Entity is a kind of records that the service lists.
type Entity struct {
	Name string
	// Key are the fields of the identity, Version the field with the record's version; "" = none.
	Key     []string
	Version string
	// List asks for the records: all of them, or, where a placeholder {watermark} stands for something, those that have changed since.
	List Request
	// Records is the path of the list in the answer; "" = the answer is the list.
	Records string
	Page    Paging
	// Watermark is the field (a path) that tells when a record changed; "" = every look reads all records.
	Watermark string
	Overlap   Overlap
	// Get asks for one record by its key, nil = the service has no such request: records are looked for in the listing. GetRecord is the
	// path of the record in the answer.
	Get       *Request
	GetRecord string

	parsed cloudevent.Entity
}

// listing returns the request of a page.
func (e *Entity) listing() *Request {
	r := e.List
	r.Query = append(slices.Clone(r.Query), e.Page.params()...)
	return &r
}

// Incremental reports whether the service can be asked for what has changed.
func (e *Entity) Incremental() bool {
	if e.Watermark == "" {
		return false
	}
	texts := []string{e.List.Path, e.List.Body}
	for _, p := range append(slices.Clone(e.List.Query), e.List.Headers...) {
		texts = append(texts, p.Text)
	}
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, "{watermark}") })
}

// read makes a record of an object of an answer.
func (e *Entity) read(c *Client, what string, i int, raw []byte) (f found, err error) {
	if f.record, err = c.read(what, &e.parsed, syncline.OpUpdated, i, raw); err != nil {
		return f, err
	}
	f.key = f.record.Key()
	if e.Watermark == "" {
		return f, nil
	}
	if part, ok := document.At(raw, e.Watermark); ok {
		if v, err := document.ParseValue(&syncline.Column{Kind: syncline.KindNull}, part); err == nil {
			f.mark, f.marked = markOf(v)
		}
	}
	return f, nil
}
