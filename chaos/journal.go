package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
)

// write is what a transaction did to one record: it has this version from then on, or is gone since.
type write struct {
	entity, key string
	ver         int64
	gone        bool
}

// outcome is what became of a transaction.
type outcome int

const (
	unknown outcome = iota // its commit was not answered
	committed
	aborted
)

// journal is what writers did. It is told after the commit, so that targets may know a version earlier: whoever finds one that it does not
// have asks again when everything has come to rest.
type journal struct {
	mu       sync.Mutex
	writes   map[int64]write   // committed, by version
	never    map[int64]bool    // versions that were rolled back
	open     map[int64][]write // transactions without an answer
	commits  int64
	lost     int64 // commits whose answer was lost and which were done
	trails   map[int64]bool
	optional [][2]int64 // from, to: versions that event targets may not have been told of
}

func newJournal() *journal {
	return &journal{writes: make(map[int64]write), never: make(map[int64]bool), open: make(map[int64][]write), trails: make(map[int64]bool)}
}

// note records what became of a transaction; dropped are writes that a savepoint took back.
func (j *journal) note(tx int64, writes, dropped []write, o outcome) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, w := range dropped {
		j.never[w.ver] = true
	}
	switch o {
	case committed:
		j.commits++
		j.trails[tx] = true
		for _, w := range writes {
			j.writes[w.ver] = w
		}
	case aborted:
		for _, w := range writes {
			j.never[w.ver] = true
		}
	case unknown:
		j.open[tx] = writes
	}
}

// pushed records what was sent, or is to be: it is sent until it is answered.
func (j *journal) pushed(writes []write) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, w := range writes {
		j.writes[w.ver] = w
	}
}

// resolve asks the source about commits without an answer. No writer is at work.
func (j *journal) resolve(ctx context.Context, src *postgres) error {
	j.mu.Lock()
	open := j.open
	j.open = make(map[int64][]write)
	j.mu.Unlock()
	ids := make([]int64, 0, len(open))
	for id := range open {
		ids = append(ids, id)
	}
	rows, err := src.pool.Query(ctx, `SELECT tx FROM trail WHERE tx = ANY ($1)`, ids)
	if err != nil {
		return err
	}
	done, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	there := make(map[int64]bool)
	for _, id := range done {
		there[id] = true
	}
	for id, writes := range open {
		if there[id] {
			j.note(id, writes, nil, committed)
			j.lost++
		} else {
			j.note(id, writes, nil, aborted)
		}
	}
	return nil
}

// why says what is wrong with a target having the version under the key; "" = nothing. Everything is at rest.
func (j *journal) why(entity, key string, ver int64) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	w, ok := j.writes[ver]
	switch {
	case j.never[ver]:
		return fmt.Sprintf("version %d of %s %s was rolled back", ver, entity, key)
	case !ok:
		return fmt.Sprintf("version %d of %s %s was never written", ver, entity, key)
	case w.entity != entity || w.key != key:
		return fmt.Sprintf("version %d is of %s %s, not of %s %s", ver, w.entity, w.key, entity, key)
	}
	return ""
}

// mustBeTold returns the committed writes of the entity that every target of events has to be sent.
func (j *journal) mustBeTold(entity string, after int64) []write {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []write
	for ver, w := range j.writes {
		if w.entity == entity && !w.gone && ver > after && !j.excused(ver) {
			list = append(list, w)
		}
	}
	return list
}

// all are the writes that were committed.
func (j *journal) all() []write {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Collect(maps.Values(j.writes))
}

// histories are the versions of each key of the entity in the order of their commits, 0 where the record was deleted; nil where event targets may
// do without some of them.
func (j *journal) histories(entity string, after int64) map[string][]int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.optional) > 0 {
		return nil
	}
	all := make(map[string][]int64)
	for _, ver := range slices.Sorted(maps.Keys(j.writes)) {
		w := j.writes[ver]
		switch {
		case w.entity != entity || ver <= after:
		case w.gone:
			all[w.key] = append(all[w.key], 0)
		default:
			all[w.key] = append(all[w.key], ver)
		}
	}
	return all
}

func (j *journal) excused(ver int64) bool {
	for _, o := range j.optional {
		if o[0] <= ver && ver <= o[1] {
			return true
		}
	}
	return false
}

// excuse lets event targets do without the versions from, to.
func (j *journal) excuse(from, to int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.optional = append(j.optional, [2]int64{from, to})
}
