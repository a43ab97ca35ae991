package main

import (
	"context"
	"fmt"
	"time"
)

// entries are the records of reg in Redis. It is asked for all at once: a record may go between two questions, and then is not among them.
func (c *cache) entries(ctx context.Context) ([]document, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	keys, err := c.client.Keys(ctx, "reg:*").Result()
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	values, err := c.client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, err
	}
	var list []document
	for i, v := range values {
		text, ok := v.(string)
		if !ok {
			continue
		}
		d, err := parseDocument([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", keys[i], err)
		}
		list = append(list, d)
	}
	return list, nil
}

// documents are the records of line in the bucket.
func (b *bus) documents(ctx context.Context) ([]document, error) {
	entries, err := b.entries(ctx)
	if err != nil {
		return nil, err
	}
	var list []document
	for key, text := range entries {
		if len(text) == 0 || key[0] == '_' {
			continue
		}
		d, err := parseDocument(text)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", key, err)
		}
		if d.ID != nil {
			list = append(list, d)
		}
	}
	return list, nil
}
