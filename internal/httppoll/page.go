package httppoll

import (
	"hash/fnv"
	"strconv"
	"strings"

	"syncline"
	"syncline/internal/document"
)

// By is how a listing is cut into pages.
type By string

const (
	// ByNone: the listing is one page.
	ByNone By = ""
	// ByNumber: pages have numbers. The listing ends with an empty page, or where More says so.
	ByNumber By = "number"
	// ByOffset: a page begins behind as many records as were read. It ends like ByNumber.
	ByOffset By = "offset"
	// ByCursor: the answer has what to ask for the next page with, at Next.
	ByCursor By = "cursor"
	// ByLink: the answer has the next page's URL, at Next or, where that is "", in a Link header with rel=next.
	ByLink By = "link"
)

// Moves reports whether a record that changes while the pages are read can move others from one page to another, so that a single
// reading may not see them all. Behind most links are numbers.
func (b By) Moves() bool { return b == ByNumber || b == ByOffset || b == ByLink }

// Paging says how a listing is cut into pages.
type Paging struct {
	By By
	// Param is the query parameter that the number, the offset or the cursor goes into; "" = a placeholder of the request has it.
	Param string
	// First is the number of the first page.
	First int
	// Size is how many records are asked for, SizeParam the parameter that says so; 0 and "" = the service's own.
	Size      int
	SizeParam string
	// Next is the path of the cursor or the URL in the answer.
	Next string
	// More is the path of what says whether there is another page; "" = what By tells.
	More string
	// Max bounds the pages of a listing; 0 = 10,000.
	Max int
}

// turn is what a page says of those after it: all that paging needs to know of an answer.
type turn struct {
	// count is how many records the page has, and print their hash.
	count int
	print uint64
	// next is the cursor or the link; "" = there is none. number: the cursor is one in JSON.
	next   string
	number bool
	// more is what More said; nil = nothing.
	more *bool
}

// place is where the reading of a listing stands. It is pure: what a page said goes in through take.
type place struct {
	paging Paging
	// page is the number or the offset, next the cursor or the link of the page to read.
	page   int
	next   string
	number bool
	// read is how many pages were, empty whether the last one was.
	read  int
	empty bool
	// print is that of the page before, seen the hashes of the cursors and links there were.
	print uint64
	seen  map[uint64]bool
}

func (p Paging) begin() *place {
	pl := &place{paging: p, seen: map[uint64]bool{}}
	if p.By == ByNumber {
		pl.page = p.First
	}
	return pl
}

// Place is where the reading of a listing stands, as a checkpoint keeps it. That of a link is not kept: its URL may have secrets in it.
type Place struct {
	Page   int    `json:"page,omitempty"`
	Next   string `json:"next,omitempty"`
	Number bool   `json:"number,omitempty"`
	Read   int    `json:"read"`
}

// keep returns the place, nil where it cannot be kept.
func (pl *place) keep() *Place {
	if pl.read == 0 || pl.paging.By == ByLink || pl.paging.By == ByNone {
		return nil
	}
	return &Place{pl.page, pl.next, pl.number, pl.read}
}

// resume goes on at a place.
func (pl *place) resume(p *Place) {
	pl.page, pl.next, pl.number, pl.read = p.Page, p.Next, p.Number, p.Read
}

// fill adds what the page's request is told.
func (pl *place) fill(f fills) {
	p := pl.paging
	switch p.By {
	case ByNumber, ByOffset:
		f["page"] = fill{strconv.Itoa(pl.page), true}
	case ByCursor:
		if delete(f, "cursor"); pl.next != "" { // a pass begins without one
			f["cursor"] = fill{pl.next, pl.number}
		}
	}
	if p.Size > 0 {
		f["size"] = fill{strconv.Itoa(p.Size), true}
	}
}

// params are the query parameters that the paging adds to the request.
func (p *Paging) params() []Param {
	var list []Param
	if p.Param != "" {
		switch p.By {
		case ByNumber, ByOffset:
			list = append(list, Param{p.Param, "{page}"})
		case ByCursor:
			list = append(list, Param{p.Param, "{cursor}"})
		}
	}
	if p.SizeParam != "" {
		list = append(list, Param{p.SizeParam, "{size}"})
	}
	return list
}

// maxPages is Paging.Max where it says nothing.
const maxPages = 10_000

// take takes note of a page that was read, and reports whether there is another. It refuses (api_pages_endless) what would go on for
// ever: a cursor or a link that was there before, a page that is the same as the one before, more pages than there may be.
func (pl *place) take(t turn) (more bool, err error) {
	p := pl.paging
	pl.read++
	pl.empty = t.count == 0
	switch p.By {
	case ByNumber, ByOffset:
		if more = t.count > 0; t.more != nil {
			more = *t.more
		}
		if more && pl.read > 1 && t.print == pl.print && (t.count > 0 || p.By == ByOffset) {
			return false, endless("two pages one after the other are the same")
		}
		if p.By == ByNumber {
			pl.page++
		} else {
			pl.page += t.count
		}
	case ByCursor, ByLink:
		if t.more != nil && *t.more && t.next == "" {
			return false, endless("the listing says that there is more, and does not say where")
		}
		pl.next, pl.number, more = t.next, t.number, t.next != "" && (t.more == nil || *t.more)
	}
	if !more {
		return false, nil
	}
	pl.print = t.print
	if p.By == ByCursor || p.By == ByLink {
		h := hashText(pl.next)
		if pl.seen[h] {
			return false, endless("the listing leads back to a page that was read")
		}
		pl.seen[h] = true
	}
	limit := p.Max
	if limit == 0 {
		limit = maxPages
	}
	if pl.read >= limit {
		return false, endless("the listing has more than " + strconv.Itoa(limit) + " pages")
	}
	return true, nil
}

func endless(why string) *syncline.Error {
	return syncline.Errorf(syncline.Transient, "api_pages_endless", "%s", why).
		WithFix("correct page (by, param, next, more) of the entity; for a listing that is that long, raise page.max or size. The watermark has not moved")
}

func hashText(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s)) //nolint:errcheck // a hash never fails
	return h.Sum64()
}

// turn reads what the answer says of the pages after it.
func (p *Paging) turn(a *answer) turn {
	t := turn{count: len(a.records)}
	h := fnv.New64a()
	for _, r := range a.records {
		h.Write(r)         //nolint:errcheck // a hash never fails
		h.Write([]byte{0}) //nolint:errcheck // a hash never fails
	}
	t.print = h.Sum64()
	switch {
	case p.By == ByLink && p.Next == "":
		t.next = nextLink(a.links)
	case p.By == ByLink || p.By == ByCursor:
		t.next, t.number = scalarAt(a.body, p.Next)
	}
	if p.More != "" {
		text, _ := scalarAt(a.body, p.More)
		more := text != "" && text != "false" && text != "0"
		t.more = &more
	}
	return t
}

// scalarAt is the text at a path of a document: "" for nothing, null, false, and what is no scalar.
func scalarAt(body []byte, path string) (text string, number bool) {
	if len(body) == 0 {
		return "", false
	}
	raw, ok := document.At(body, path)
	if !ok {
		return "", false
	}
	v, err := document.ParseValue(&syncline.Column{Kind: syncline.KindText}, raw)
	if err != nil {
		return "", false
	}
	switch v.Kind() {
	case syncline.KindText:
		return v.Text(), false
	case syncline.KindBool:
		if strings.HasPrefix(v.Text(), "t") {
			return "true", false
		}
		return "", false
	case syncline.KindNull, syncline.KindJSON:
		return "", false
	}
	return v.Text(), true
}

// nextLink returns the target of rel=next in Link headers (RFC 8288), "" where there is none.
func nextLink(headers []string) string {
	for _, h := range headers {
		for h != "" {
			begin := strings.IndexByte(h, '<')
			if begin < 0 {
				break
			}
			end := strings.IndexByte(h[begin:], '>')
			if end < 0 {
				break
			}
			target, rest := h[begin+1:begin+end], h[begin+end+1:]
			params, after := cutLink(rest)
			if isNext(params) {
				return strings.TrimSpace(target)
			}
			h = after
		}
	}
	return ""
}

// cutLink splits the parameters of a link from the links after it, at a comma that is not quoted.
func cutLink(s string) (params, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func isNext(params string) bool {
	for params != "" {
		var one string
		one, params = cutParam(params)
		name, value, _ := strings.Cut(one, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "rel") {
			continue
		}
		for _, rel := range strings.Fields(strings.Trim(strings.TrimSpace(value), `"`)) {
			if strings.EqualFold(rel, "next") {
				return true
			}
		}
		return false // a second rel of one link does not count
	}
	return false
}

func cutParam(s string) (param, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
