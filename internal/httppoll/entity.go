package httppoll

import (
	"slices"
	"strings"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/document"
	"syncline/internal/poll"
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
	// Deleted tells which records are deleted although they are listed, Created which are new; nil = none.
	Deleted, Created *poll.Flag
	// Compare: what has not changed since it was seen last is no event.
	Compare bool
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

// asked is a hash of what the service is asked for. Constant parameters are left out: a key that is changed makes no other records.
func (e *Entity) asked() uint64 {
	texts := []string{e.List.Method, e.List.Path, e.List.Body, e.Records, e.Watermark}
	for _, p := range append(slices.Clone(e.List.Query), e.List.Headers...) {
		if strings.Contains(p.Text, "{") {
			texts = append(texts, p.Name, p.Text)
		}
	}
	return hashText(strings.Join(texts, "\x00"))
}

// read makes a record of an object of an answer.
func (e *Entity) read(c *Client, what string, i int, raw []byte) (f found, err error) {
	if f.record, err = c.read(what, &e.parsed, syncline.OpCreated, i, raw); err != nil {
		return f, err
	}
	f.key, f.size = f.record.Key(), len(raw)
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
