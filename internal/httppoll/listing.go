package httppoll

import (
	"context"
	"net/http"

	"syncline"
	"syncline/internal/cloudevent"
)

// maxPasses bounds how often a listing is read whole because it moves.
const maxPasses = 5

// found is a record of a listing.
type found struct {
	record *cloudevent.Record
	key    syncline.Key
	size   int // bytes, about
	// content is a hash of it as it was written.
	content uint64
	// mark is what its watermark field has; marked: it has something.
	mark   Mark
	marked bool
}

// listing reads the pages of an entity's listing. Each record is given out once, or once more where it is different on a later page.
//
// Where pages have numbers, a record that changes between two of them can move another one to a page that was read already: nothing
// says so. Such a listing, unless it is a single page, is read again until a whole pass brings nothing new: then there was a pass
// during which nothing moved. What moves on and on, through maxPasses, is unsettled: nobody knows whether all was seen. Cursors are
// believed to lead through everything, unless what is missing would be deleted for it (strict).
type listing struct {
	client   *Client
	entity   *Entity
	template *Request
	fills    fills
	// cache has the pages that are known, nil where each page must be had.
	cache pageCache

	// strict: a listing by cursor is read again, too.
	strict bool

	place *place
	// pass counts the passes from 1, fresh the records that this one brought.
	pass, fresh int
	// seen is what was given out, by the hashes of key and record.
	seen map[uint64]uint64
	// done: the listing was read to its end. unsettled: it moved all the time.
	done, unsettled bool
}

// list begins a listing, from a watermark on where since is not nil.
func (e *Entity) list(c *Client, since *Mark, cache pageCache) *listing {
	l := &listing{client: c, entity: e, template: e.listing(), fills: fills{}, cache: cache, pass: 1, seen: map[uint64]uint64{}, place: e.Page.begin()}
	if since != nil {
		l.fills["watermark"] = fill{since.Text, since.Number}
	}
	return l
}

// next reads the next page and returns what is new on it; l.done says that there is none after it.
func (l *listing) next(ctx context.Context) ([]found, error) {
	what := "the listing of " + l.entity.Name
	r, err := l.request(what)
	if err != nil {
		return nil, err
	}
	known, asked := l.cache.validate(&r)
	a, err := l.client.ask(ctx, what, r)
	if err != nil {
		return nil, err
	}
	var t turn
	var list []found
	if a.status == http.StatusNotModified {
		if !asked {
			return nil, l.client.unusable(what, "it says that nothing has changed, which it was not asked")
		}
		t = known
	} else {
		if err := l.client.list(what, l.entity.Records, a); err != nil {
			return nil, err
		}
		if list, err = l.read(what, a.records); err != nil {
			return nil, err
		}
		if t = l.entity.Page.turn(a); l.entity.Page.By == ByLink && t.next != "" {
			to, err := l.client.follow(what, r, t.next)
			if err != nil {
				return nil, err
			}
			t.next = to.url.String()
		}
		l.cache.keep(r, a, t)
	}
	l.fresh += len(list)
	more, err := l.place.take(t)
	if err != nil {
		return nil, l.client.named(what, err)
	}
	if !more {
		l.end()
	}
	return list, nil
}

func (l *listing) request(what string) (request, error) {
	l.place.fill(l.fills)
	r, ok := l.template.build(l.client.base, l.fills)
	if !ok {
		return r, l.client.misasked(what, "its path has a placeholder that stands for nothing")
	}
	if l.entity.Page.By == ByLink && l.place.next != "" {
		return l.client.follow(what, r, l.place.next)
	}
	return r, nil
}

// read makes records of the objects of a page, and leaves out those that were given out as they are.
func (l *listing) read(what string, objects [][]byte) ([]found, error) {
	list := make([]found, 0, len(objects))
	for i, raw := range objects {
		f, err := l.entity.read(l.client, what, i, raw)
		if err != nil {
			return nil, err
		}
		if f.content = hashText(string(raw)); l.saw(&f) {
			list = append(list, f)
		}
	}
	return list, nil
}

// saw takes note of a record, and reports whether it was not known as it is.
func (l *listing) saw(f *found) bool {
	key := hashText(string(f.key))
	was, known := l.seen[key]
	l.seen[key] = f.content
	return !known || was != f.content
}

// exists takes note that there is the record, which is given out all the same once a page has it.
func (l *listing) exists(k syncline.Key) {
	key := hashText(string(k))
	if _, known := l.seen[key]; !known {
		l.seen[key] = 0
	}
}

// end decides what becomes of a listing whose last page was read.
func (l *listing) end() {
	switch {
	case !l.entity.Page.By.Moves() && !l.strict, l.pass == 1 && l.single(), l.pass > 1 && l.fresh == 0:
		l.done = true
	case l.pass == maxPasses:
		l.done, l.unsettled = true, true
	default:
		l.pass, l.fresh = l.pass+1, 0
		l.place = l.entity.Page.begin()
	}
}

// single reports whether what was read was on one page: the second, if there was one, was empty.
func (l *listing) single() bool {
	return l.place.read == 1 || l.place.read == 2 && l.place.empty
}

// one asks for one record; nil = there is none.
func (e *Entity) one(ctx context.Context, c *Client, key syncline.Key) (*found, error) {
	what := "a record of " + e.Name
	parts, _ := key.Parts()
	if len(parts) != len(e.Key) {
		return nil, nil // certainly no key of the entity
	}
	f := fills{}
	for i, name := range e.Key {
		if parts[i] == "" || parts[i] == "\x00" {
			return nil, nil // its URL would be that of something else
		}
		f[name] = fill{text: parts[i]}
	}
	if len(parts) == 1 {
		f["key"] = fill{text: parts[0]}
	}
	r, ok := e.Get.build(c.base, f)
	if !ok {
		return nil, c.misasked(what, "its path has a placeholder that stands for nothing")
	}
	a, err := c.ask(ctx, what, r)
	if err != nil {
		return nil, err
	}
	raw, err := c.one(what, e.GetRecord, a)
	if raw == nil || err != nil {
		return nil, err
	}
	got, err := e.read(c, what, 0, raw)
	if err != nil {
		return nil, err
	}
	// Its key may be another one: 01 and 1 are one record to some services, and the answer is about the record that they mean.
	return &got, nil
}
