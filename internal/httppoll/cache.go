package httppoll

import (
	"net/http"
)

// maxCached bounds the pages that an entity's cache knows.
const maxCached = 1024

// pageCache knows what pages said that were read and are in the log, by their URLs, so that the service can answer that they are as
// they were (If-None-Match; not If-Modified-Since, which knows whole seconds only). It knows nothing of their records: whoever needs those reads without one. nil keeps nothing.
type pageCache map[string]cachedPage

type cachedPage struct {
	etag string
	turn turn
}

// validate makes the request conditional where its page is known, and returns what the page said.
func (c pageCache) validate(r *request) (t turn, asked bool) {
	known, ok := c[r.url.String()]
	if !ok || r.method != http.MethodGet {
		return turn{}, false
	}
	r.header = r.header.Clone()
	r.header.Set("If-None-Match", known.etag)
	return known.turn, true
}

// keep takes note of a page.
func (c pageCache) keep(r request, a *answer, t turn) {
	switch {
	case c == nil || r.method != http.MethodGet:
	case a.etag == "":
		delete(c, r.url.String())
	default:
		if len(c) >= maxCached {
			clear(c) // URLs with a watermark in them are not asked for again
		}
		c[r.url.String()] = cachedPage{a.etag, t}
	}
}
