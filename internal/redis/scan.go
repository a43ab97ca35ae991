package redis

import (
	"context"
	"errors"
	"hash/maphash"

	"github.com/redis/go-redis/v9"

	"syncline"
	"syncline/internal/document"
)

// scanBatch is how many keys are asked for at once.
const scanBatch = 1000

// guarded calls each with the record keys in the object's guard and the state letter of each ('v', 'e' or 'd', see
// write.lua). A key that is there from beginning to end comes at least once.
func (t *Target) guarded(ctx context.Context, ob *object, each func(keys []string, states []byte) error) error {
	for at := uint64(0); ; {
		pairs, next, err := t.client.HScan(ctx, ob.guard, at, "", scanBatch).Result()
		if err != nil {
			return classify(err, "list the records of "+ob.name+" at Redis")
		}
		var keys []string
		var states []byte
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] != "" && pairs[i+1] != "" { // the field "" is the truncate's version
				keys, states = append(keys, pairs[i]), append(states, pairs[i+1][0])
			}
		}
		// A small hash comes whole, whatever was asked for.
		for len(keys) > 0 {
			n := min(len(keys), scanBatch)
			if err := each(keys[:n], states[:n]); err != nil {
				return err
			}
			keys, states = keys[n:], states[n:]
		}
		if at = next; at == 0 {
			return nil
		}
	}
}

// Scan lists the records that routes have written and that are still there.
func (t *Target) Scan(ctx context.Context, name string, s *syncline.Schema, each func(syncline.Row) error) error {
	ob, err := t.object(name)
	if err != nil {
		return err
	}
	// The server may list a key twice while its hash grows.
	seen := map[uint64]struct{}{}
	seed := maphash.MakeSeed()
	return t.guarded(ctx, ob, func(keys []string, states []byte) error {
		live := keys[:0]
		for i, k := range keys {
			h := maphash.String(seed, k)
			if _, dup := seen[h]; !dup && states[i] != 'd' {
				seen[h] = struct{}{}
				live = append(live, k)
			}
		}
		rows, err := t.read(ctx, ob, s, live)
		if err != nil {
			return err
		}
		for _, values := range rows {
			if values == nil {
				continue
			}
			if err := each(syncline.Row{Schema: s, Values: values}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Current reads records by key.
func (t *Target) Current(ctx context.Context, name string, s *syncline.Schema, rows []syncline.Row) ([][]syncline.Value, error) {
	ob, err := t.object(name)
	if err != nil {
		return nil, err
	}
	out := make([][]syncline.Value, 0, len(rows))
	for len(rows) > 0 {
		n := min(len(rows), scanBatch)
		keys := make([]string, n)
		for i, r := range rows[:n] {
			key, err := ob.appendKey(nil, r)
			if err != nil {
				return nil, err
			}
			keys[i] = string(key)
		}
		got, err := t.read(ctx, ob, s, keys)
		if err != nil {
			return nil, err
		}
		out, rows = append(out, got...), rows[n:]
	}
	return out, nil
}

// read returns the records of the keys; nil for those that are not there or hold what is no record, which a repair then
// writes anew.
func (t *Target) read(ctx context.Context, ob *object, s *syncline.Schema, keys []string) ([][]syncline.Value, error) {
	out := make([][]syncline.Value, len(keys))
	if len(keys) == 0 {
		return out, nil
	}
	p := t.client.Pipeline()
	gets := make([]redis.Cmder, len(keys))
	for i, k := range keys {
		if ob.format == Hash {
			gets[i] = p.HGetAll(ctx, k)
		} else {
			gets[i] = p.Get(ctx, k)
		}
	}
	_, _ = p.Exec(ctx) // each command has its own error
	for i, get := range gets {
		err := get.Err()
		if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE") {
			continue
		}
		if err != nil {
			return nil, classify(err, "read records of "+ob.name+" at Redis")
		}
		var values []syncline.Value
		switch get := get.(type) {
		case *redis.StringCmd:
			values, err = document.Parse(s, []byte(get.Val()), syncline.Null)
		case *redis.MapStringStringCmd:
			if len(get.Val()) > 0 {
				values, err = parseFields(s, get.Val())
			}
		}
		if err == nil {
			out[i] = values
		}
	}
	return out, nil
}
