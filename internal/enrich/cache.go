package enrich

import (
	"container/list"
	"time"
)

// cache keeps what was found for a while; of more than size keys the one goes that was not asked for the longest.
type cache struct {
	size  int
	order *list.List // of *cached, the latest first
	byKey map[string]*list.Element
}

type cached struct {
	key string
	found
	until time.Time
}

func (c *cache) get(key string, now time.Time) (found, bool) {
	at := c.byKey[key]
	if at == nil {
		return found{}, false
	}
	entry := at.Value.(*cached)
	if !now.Before(entry.until) {
		c.order.Remove(at)
		delete(c.byKey, key)
		return found{}, false
	}
	c.order.MoveToFront(at)
	return entry.found, true
}

func (c *cache) put(key string, f found, until time.Time) {
	if c.size <= 0 {
		return
	}
	if c.order == nil {
		c.order, c.byKey = list.New(), make(map[string]*list.Element)
	}
	if at := c.byKey[key]; at != nil {
		c.order.Remove(at)
	}
	c.byKey[key] = c.order.PushFront(&cached{key, f, until})
	for c.order.Len() > c.size {
		last := c.order.Back()
		delete(c.byKey, c.order.Remove(last).(*cached).key)
	}
}
