// Package verify compares what a rule makes of its source's records with what the target holds.
package verify

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"syncline"
)

// Each calls f for every record of one side.
type Each func(ctx context.Context, f func(syncline.Row) error) error

// Sample is one record that differs.
type Sample struct {
	Key  syncline.Key `json:"key"`
	Kind string       `json:"kind"` // missing, extra or different
	// Fields are those that differ; their values are not told.
	Fields []string `json:"fields,omitempty"`
	// Repaired: it was different, and is equal since a repair.
	Repaired bool `json:"repaired,omitempty"`
}

// Result is what a comparison found. The counts are of records.
type Result struct {
	Source    int64 `json:"source"`
	Target    int64 `json:"target"`
	Missing   int64 `json:"missing"`
	Extra     int64 `json:"extra"`
	Different int64 `json:"different"`
	// Samples are some of the records that differ, by key.
	Samples []Sample `json:"samples,omitempty"`
}

// Equal reports whether the two sides hold the same records.
func (r Result) Equal() bool { return r.Missing+r.Extra+r.Different == 0 }

func (r Result) String() string {
	if r.Equal() {
		return fmt.Sprintf("%d records, all equal", r.Source)
	}
	return fmt.Sprintf("%d records, %d missing, %d different, %d extra", r.Source, r.Missing, r.Different, r.Extra)
}

// maxSamples bounds Result.Samples.
const maxSamples = 20

// want is a record of the source's side: its fields' hashes, in the order of the columns.
type want struct {
	fields []uint64
	seen   bool
}

// Compare reads the wanted records, then the ones that are there, and pairs them by key. Both sides must stand still or be
// snapshots of one moment. Records are remembered as hashes: eight bytes a field. A record without a key is compared as a
// whole, with how often it occurs.
func Compare(ctx context.Context, wanted, held Each) (Result, error) {
	c := &comparison{seed: maphash.MakeSeed(), want: make(map[syncline.Key][]*want)}
	if err := wanted(ctx, c.expect); err != nil {
		return c.res, fmt.Errorf("read the source: %w", err)
	}
	if err := held(ctx, c.check); err != nil {
		return c.res, fmt.Errorf("read the target: %w", err)
	}
	for key, list := range c.want {
		for _, w := range list {
			if !w.seen {
				c.res.Missing++
				c.sample(key, "missing", nil)
			}
		}
	}
	slices.SortFunc(c.res.Samples, func(a, b Sample) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return c.res, nil
}

type comparison struct {
	seed maphash.Seed
	want map[syncline.Key][]*want
	res  Result
	buf  []byte
}

func (c *comparison) expect(r syncline.Row) error {
	c.res.Source++
	key, fields := c.key(r)
	c.want[key] = append(c.want[key], &want{fields: fields})
	return nil
}

func (c *comparison) check(r syncline.Row) error {
	c.res.Target++
	key, fields := c.key(r)
	for _, w := range c.want[key] {
		if w.seen {
			continue
		}
		w.seen = true
		var differ []string
		for i := range fields {
			if fields[i] != w.fields[i] {
				differ = append(differ, r.Schema.Columns[i].Name)
			}
		}
		if differ != nil {
			c.res.Different++
			c.sample(key, "different", differ)
		}
		return nil
	}
	c.res.Extra++
	c.sample(key, "extra", nil)
	return nil
}

// key returns what the record is paired by, and its fields' hashes. Columns that nobody writes are left out.
func (c *comparison) key(r syncline.Row) (syncline.Key, []uint64) {
	fields := make([]uint64, len(r.Values))
	var all maphash.Hash
	all.SetSeed(c.seed)
	for i, v := range r.Values {
		if r.Schema.Columns[i].Generated != "" || v.IsUnset() {
			continue
		}
		c.buf = syncline.AppendCanonical(c.buf[:0], v)
		fields[i] = maphash.Bytes(c.seed, c.buf)
		maphash.WriteComparable(&all, fields[i])
	}
	if k, ok := r.Key(); ok {
		return k, fields
	}
	return syncline.Key(fmt.Sprintf("%%row,%016x", all.Sum64())), fields
}

func (c *comparison) sample(k syncline.Key, kind string, fields []string) {
	if len(c.res.Samples) < maxSamples {
		c.res.Samples = append(c.res.Samples, Sample{Key: k, Kind: kind, Fields: fields})
	}
}
