package plant

import (
	"encoding/binary"
	"hash/fnv"

	"syncline"
)

const (
	dropOneIn = 10_000
	swapOneIn = 100
)

// Drop returns the batch's events without those that their position is the misfortune of. The same ones are missing at every attempt: a
// repetition would make up for what chance takes away.
func Drop(b *syncline.Batch) []syncline.Event {
	var kept []syncline.Event
	for i := range b.Events {
		if draw(b, i)%dropOneIn != 0 {
			kept = append(kept, b.Events[i])
		}
	}
	return kept
}

// Swap has some of the batch's events change places with the one before of the same record. The positions stay in order, so that nobody
// downstream is warned.
func Swap(b *syncline.Batch) {
	last := make(map[syncline.Key]int)
	for i := range b.Events {
		e := &b.Events[i]
		key, ok := e.Key()
		if !ok {
			continue
		}
		was, seen := last[key]
		last[key] = i
		if seen && draw(b, i)%swapOneIn == 0 {
			before := &b.Events[was]
			e.Op, before.Op = before.Op, e.Op
			e.Schema, before.Schema = before.Schema, e.Schema
			e.Before, before.Before = before.Before, e.Before
			e.After, before.After = before.After, e.After
		}
	}
}

// draw is a number for the event's place in its source.
func draw(b *syncline.Batch, i int) uint64 {
	at := b.PositionOf(i)
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, at.Commit), b.Events[i].Ordinal)) // a hash takes everything
	return h.Sum64()
}
