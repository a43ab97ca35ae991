package httppoll

import (
	"bytes"
	"errors"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/document"
)

// readJSON returns the body as one checked JSON value. What the content type says does not count where the body is JSON, but for HTML:
// that is a page for people, whatever it holds.
func readJSON(contentType string, body []byte) ([]byte, error) {
	if isHTML(contentType) {
		return nil, errors.New("it is a page of HTML")
	}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errors.New("it is empty")
	}
	if err := cloudevent.CheckJSON(body); err != nil {
		return nil, err
	}
	return body, nil
}

// list takes the records out of an answer to a listing. null is an empty list; that there is nothing at the path is none.
func (c *Client) list(what, path string, a *answer) error {
	switch {
	case absent(a.status):
		return c.misasked(what, "it answers that there is no such listing")
	case a.body == nil: // 204 or 304
		return nil
	}
	raw, ok := document.At(a.body, path)
	if !ok {
		return c.unusable(what, "it has nothing at %s", path)
	}
	if string(bytes.TrimSpace(raw)) == "null" {
		return nil
	}
	list, ok := cloudevent.Elements(raw)
	if !ok {
		if path == "" {
			return c.unusable(what, "it is no list")
		}
		return c.unusable(what, "there is no list at %s", path)
	}
	a.records = list
	return nil
}

// one takes the record out of an answer to a question for one; nil = there is none.
func (c *Client) one(what, path string, a *answer) ([]byte, error) {
	if absent(a.status) || a.body == nil {
		return nil, nil
	}
	raw, ok := document.At(a.body, path)
	if !ok {
		return nil, c.unusable(what, "it has nothing at %s", path)
	}
	raw = bytes.TrimSpace(raw)
	if string(raw) == "null" {
		return nil, nil
	}
	if list, ok := cloudevent.Elements(raw); ok {
		switch len(list) {
		case 0:
			return nil, nil
		case 1:
			raw = list[0]
		default:
			return nil, c.unusable(what, "it has several records for one key")
		}
	}
	return raw, nil
}

// read makes a record of the object at this place of a page.
func (c *Client) read(what string, entity *cloudevent.Entity, op syncline.Op, i int, raw []byte) (*cloudevent.Record, error) {
	r, err := cloudevent.ReadRecord(entity, op, raw)
	if err != nil {
		return nil, syncline.Errorf(syncline.Transient, "api_record_bad", "record %d of %s at %s: %v", i+1, what, c.base.Host, err).
			WithFix("correct it in the service, or records and key of the entity; it is asked again, and the watermark has not moved")
	}
	return r, nil
}
