package redis

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"

	"github.com/redis/go-redis/v9"

	"syncline"
	"syncline/internal/document"
)

// The guard knows what routes have written. A key that somebody else has set under the prefix of an object's records is found by going
// through all keys of the database, about a thousand at a time. It is a stray unless a guard, this object's or another one's, knows it.

const guardPrefix = "_syncline_guard:"

// Strays implements syncline.StrayLister. Keys of another type than the records have are no strays.
func (t *Target) Strays(ctx context.Context, name string, s *syncline.Schema, each func(int, []syncline.Stray) error) error {
	ob, err := t.object(name)
	if err != nil {
		return err
	}
	prefix := ob.prefix(s)
	if prefix == "" {
		return syncline.Errorf(syncline.Rejected, "redis_no_prefix", "the keys of object %s begin with no text of their own: which of them somebody else has written cannot be told", name).
			WithFix("begin the key template with a text: \"customer:{id}\"")
	}
	node, err := t.node(ctx)
	if err != nil {
		return err
	}
	l := &strays{t: t, ob: ob, s: s, prefix: prefix, seen: make(map[uint64]struct{}), seed: maphash.MakeSeed()}
	for at := uint64(0); ; {
		keys, next, err := node.Scan(ctx, at, escapeGlob(prefix)+"*", scanBatch).Result()
		if err != nil {
			return classify(err, "list the keys of "+name+" at Redis")
		}
		looked := len(keys)
		var found []syncline.Stray
		for len(keys) > 0 { // a server may answer with more than it was asked for
			n := min(len(keys), scanBatch)
			some, err := l.among(ctx, keys[:n])
			if err != nil {
				return err
			}
			found, keys = append(found, some...), keys[n:]
		}
		if err := each(looked, found); err != nil {
			return err
		}
		if at = next; at == 0 {
			return nil
		}
	}
}

// node is the server that has the keys: in a cluster they share a slot.
func (t *Target) node(ctx context.Context) (redis.Cmdable, error) {
	if c, ok := t.client.(*redis.ClusterClient); ok {
		node, err := c.MasterForKey(ctx, t.cursor)
		if err != nil {
			return nil, classify(err, "find the server of a slot of Redis")
		}
		return node, nil
	}
	return t.client, nil
}

// strays finds them among keys.
type strays struct {
	t      *Target
	ob     *object
	s      *syncline.Schema
	prefix string
	// others are the other objects that routes have written to this database, once there was a key to ask about.
	others []*object
	asked  bool
	// seen are those that were told: the server may list a key twice.
	seen map[uint64]struct{}
	seed maphash.Seed
}

// among returns the strays among keys under the prefix.
func (l *strays) among(ctx context.Context, keys []string) ([]syncline.Stray, error) {
	keys, err := l.unknown(ctx, l.ob, keys)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	var rows []syncline.Row
	names := keys[:0]
	for _, k := range keys {
		if row, ok := l.ob.rowOf(l.s, k); ok {
			rows, names = append(rows, row), append(names, k)
		}
	}
	if names, rows, err = l.unowned(ctx, names, rows); err != nil || len(names) == 0 {
		return nil, err
	}
	held, err := l.held(ctx, names)
	if err != nil {
		return nil, err
	}
	var list []syncline.Stray
	for i, is := range held {
		h := maphash.String(l.seed, names[i])
		if _, dup := l.seen[h]; dup || !is.there {
			continue
		}
		l.seen[h] = struct{}{}
		stray := syncline.Stray{Row: rows[i]}
		if is.values != nil {
			row := syncline.Row{Schema: l.s, Values: is.values}
			if name, err := l.ob.appendKey(nil, row); err == nil && string(name) == names[i] {
				stray = syncline.Stray{Row: row, Record: true}
			}
		}
		list = append(list, stray)
	}
	return list, nil
}

// unknown returns the keys that the object's guard does not know as those of records.
func (l *strays) unknown(ctx context.Context, ob *object, keys []string) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	states, err := l.t.client.HMGet(ctx, ob.guard, keys...).Result()
	if err != nil {
		return nil, classify(err, "read what is known of records of "+ob.name+" at Redis")
	}
	var left []string
	for i, k := range keys {
		if state, ok := states[i].(string); !ok || strings.HasPrefix(state, "d") {
			left = append(left, k)
		}
	}
	return left, nil
}

// unowned leaves out the keys of other objects: records that their guards know, and what stands under a longer prefix of theirs.
func (l *strays) unowned(ctx context.Context, names []string, rows []syncline.Row) ([]string, []syncline.Row, error) {
	if len(names) == 0 {
		return nil, nil, nil
	}
	if !l.asked {
		others, err := l.t.others(ctx, l.ob)
		if err != nil {
			return nil, nil, err
		}
		l.others, l.asked = others, true
	}
	free := make(map[string]bool)
	left := names
	for _, other := range l.others {
		var err error
		if left, err = l.unknown(ctx, other, left); err != nil {
			return nil, nil, err
		}
	}
	for _, k := range left {
		free[k] = true
		for _, other := range l.others {
			if longer := other.prefix(l.s); len(longer) > len(l.prefix) && strings.HasPrefix(k, longer) {
				free[k] = false
			}
		}
	}
	var keys []string
	var of []syncline.Row
	for i, k := range names {
		if free[k] {
			keys, of = append(keys, k), append(of, rows[i])
		}
	}
	return keys, of, nil
}

// others are the other objects that routes have written to the database.
func (t *Target) others(ctx context.Context, ob *object) ([]*object, error) {
	node, err := t.node(ctx)
	if err != nil {
		return nil, err
	}
	var list []*object
	for at := uint64(0); ; {
		keys, next, err := node.Scan(ctx, at, escapeGlob(guardPrefix+t.tag)+"*", scanBatch).Result()
		if err != nil {
			return nil, classify(err, "list the objects at Redis")
		}
		for _, k := range keys {
			if name := strings.TrimPrefix(k, guardPrefix+t.tag); name != ob.name {
				other := &object{name: name, format: ob.format, template: ob.template}
				other.bind(t.tag)
				list = append(list, other)
			}
		}
		if at = next; at == 0 {
			return list, nil
		}
	}
}

// holding is what a key holds: nothing of the records' type, something, or a record, of which the values are.
type holding struct {
	there  bool
	values []syncline.Value
}

// held reads what the keys hold. A record has at least its key's columns.
func (l *strays) held(ctx context.Context, keys []string) ([]holding, error) {
	p := l.t.client.Pipeline()
	gets := make([]redis.Cmder, len(keys))
	for i, k := range keys {
		if l.ob.format == Hash {
			gets[i] = p.HGetAll(ctx, k)
		} else {
			gets[i] = p.Get(ctx, k)
		}
	}
	_, _ = p.Exec(ctx) // each command has its own error
	out := make([]holding, len(keys))
	for i, get := range gets {
		switch err := get.Err(); {
		case errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE"):
			continue
		case err != nil:
			return nil, classify(err, "read keys of "+l.ob.name+" at Redis")
		}
		var err error
		switch get := get.(type) {
		case *redis.StringCmd:
			out[i].there = true
			out[i].values, err = document.Parse(l.s, []byte(get.Val()), syncline.Unset)
		case *redis.MapStringStringCmd:
			out[i].there = len(get.Val()) > 0
			out[i].values, err = parseFields(l.s, get.Val())
		}
		for _, at := range l.s.Key {
			if err != nil || at >= len(out[i].values) || out[i].values[at].IsUnset() {
				out[i].values = nil
				break
			}
		}
	}
	return out, nil
}

// escapeGlob has the pattern match the text itself.
func escapeGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}
