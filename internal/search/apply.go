package search

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/blevesearch/bleve/v2"

	"syncline"
	"syncline/internal/document"
)

// floorKey is where an index keeps the version of its last truncate: nothing older is written, so that the records that it
// removed need no tombstones.
var floorKey = []byte("floor")

// Apply decides by the versions what to write, writes the batches of other objects, calls Commit and writes the batch of the
// route's own object with the cursor in it. Its indexes are locked meanwhile.
func (t *Target) Apply(ctx context.Context, w *syncline.Write) (syncline.Result, error) {
	if err := ctx.Err(); err != nil {
		return syncline.Result{}, err
	}
	works, err := t.works(w)
	if err != nil {
		return syncline.Result{}, err
	}
	for _, k := range works { // in the order of their names, so that no two wait for each other
		k.index.mu.Lock()
		defer k.index.mu.Unlock()
	}
	c, err := t.readCursorLocked(t.home)
	if err != nil {
		return syncline.Result{}, err
	}
	switch {
	case c == nil:
		return syncline.Result{}, syncline.Errorf(syncline.Fatal, "cursor_lost", "the cursor is gone from index %s", t.home.name).
			WithFix("find out who removed the index, then `syncline sync SYSTEM/ENTITY --route ROUTE`")
	case c.Epoch != w.Cursor.Epoch:
		return syncline.Result{}, syncline.Errorf(syncline.Fatal, "fenced", "another instance owns this slice of index %s", t.home.name)
	}
	c.Log, c.Seq, c.Index = w.Cursor.Log, w.Cursor.Seq, w.Cursor.Index
	cursor, err := json.Marshal(c)
	if err != nil {
		return syncline.Result{}, err
	}

	res := syncline.Result{Outcomes: make([]syncline.Outcome, len(w.Changes)), Rejected: map[int]error{}}
	var last *work
	for _, k := range works {
		if err := k.decide(ctx, w, &res, t.tombstone); err != nil {
			return syncline.Result{}, k.index.failed("write to", err)
		}
		if k.index == t.home {
			last = k
		} else if err := k.write(); err != nil {
			return syncline.Result{}, err
		}
	}
	if err := w.Commit(ctx, res); err != nil {
		return syncline.Result{}, err
	}
	last.batch.SetInternal(t.cursor, cursor)
	if err := last.write(); err != nil {
		return syncline.Result{}, err
	}
	for i := range w.Changes {
		if w.Changes[i].Op == syncline.ChangeTruncate {
			t.log.Info("object truncated", "object", w.Changes[i].Object)
		}
	}
	return res, nil
}

// works divides the changes by index, in the order of the indexes' names; the home index is always among them.
func (t *Target) works(w *syncline.Write) ([]*work, error) {
	home := &work{index: t.home}
	byObject := map[string]*work{t.home.name: home}
	works := []*work{home}
	for i := range w.Changes {
		name := w.Changes[i].Object
		k := byObject[name]
		if k == nil {
			ix, err := t.directory.Index(name)
			if err != nil {
				return nil, err
			}
			k = &work{index: ix}
			byObject[name] = k
			works = append(works, k)
		}
		k.changes = append(k.changes, i)
	}
	slices.SortFunc(works, func(a, b *work) int { return cmp.Compare(a.index.name, b.index.name) })
	return works, nil
}

// work is what a Write does to one index.
type work struct {
	index   *Index
	changes []int
	batch   *bleve.Batch

	reader  *reader
	builder builder
	floor   int64
	// entries are those of the keys in the Write, as they will be after the changes so far.
	entries map[string]entry
	// refused are the documents whose later changes are held.
	refused map[string]bool
	// decided are the records as they will be after the decisions so far; forgotten: all others are gone.
	decided   map[string]syncline.Held
	forgotten bool
}

// decide fills the batch and the outcomes. The index is locked.
func (k *work) decide(ctx context.Context, w *syncline.Write, res *syncline.Result, tombstone time.Duration) error {
	k.batch = k.index.bleve.NewBatch()
	now := time.Now()
	if err := k.index.purgeLocked(ctx, k.batch, now, tombstone); err != nil {
		return err
	}
	if len(k.changes) == 0 {
		return nil
	}
	var err error
	if k.reader, err = k.index.reader(); err != nil {
		return err
	}
	defer k.reader.Close() //nolint:errcheck // a snapshot in memory
	k.builder = newBuilder(k.index.bleve.Mapping())
	k.refused, k.decided = map[string]bool{}, map[string]syncline.Held{}
	ids, err := k.prepare(ctx, w)
	if err != nil {
		return err
	}
	gone := float64(now.Add(tombstone).UnixMilli()) / 1000
	for n, i := range k.changes {
		c := &w.Changes[i]
		if c.Op == syncline.ChangeTruncate {
			if err := k.truncate(ctx, c.Order.Version(), w.Decide != nil); err != nil {
				return err
			}
			continue
		}
		var err error
		if w.Decide != nil {
			res.Outcomes[i], err = k.judge(i, c, ids[n], gone, w.Decide)
		} else {
			res.Outcomes[i], err = k.change(c, ids[n], gone)
		}
		if err != nil && res.Outcomes[i] != syncline.OutcomeRejected {
			return err
		}
		if err != nil {
			res.Rejected[i] = err
			k.refused[ids[n]] = true
		}
	}
	return nil
}

// prepare reads the floor and the entries of the keys, and returns the document id of each change.
func (k *work) prepare(ctx context.Context, w *syncline.Write) ([]string, error) {
	ids := make([]string, len(k.changes))
	known := make([]string, 0, len(k.changes))
	for n, i := range k.changes {
		c := &w.Changes[i]
		whole := c.Op == syncline.ChangePut && c.OldKey == nil && c.Row.Whole()
		if !whole && c.Op != syncline.ChangeDelete && c.Op != syncline.ChangeTruncate {
			return nil, syncline.Errorf(syncline.Fatal, "change_unsupported", "index %s takes whole records and deletes by key", c.Object)
		}
		if c.Op == syncline.ChangeTruncate {
			continue
		}
		key, ok := c.Row.Key()
		if !ok {
			return nil, keyless(c.Object)
		}
		ids[n] = documentID(key)
		known = append(known, ids[n])
	}
	floor, err := k.reader.GetInternal(floorKey)
	if err != nil {
		return nil, err
	}
	if floor != nil {
		if k.floor, err = strconv.ParseInt(string(floor), 10, 64); err != nil {
			return nil, err
		}
	}
	k.entries = make(map[string]entry, len(known))
	slices.Sort(known)
	return ids, k.reader.each(ctx, slices.Compact(known), func(id string, e entry) error {
		k.entries[id] = e
		return nil
	})
}

func keyless(object string) error {
	return syncline.Errorf(syncline.Fatal, "key_missing", "index %s needs records with a key", object).WithFix("declare the entity's key")
}

// change puts one Put or Delete into the batch unless something newer is there.
func (k *work) change(c *syncline.Change, id string, gone float64) (syncline.Outcome, error) {
	version := c.Order.Version()
	have := k.entries[id]
	switch {
	case k.refused[id]:
		return syncline.OutcomeHeld, nil
	case have.version > version || k.floor > version:
		return syncline.OutcomeStale, nil
	}
	doc := k.builder.tombstone(recordKey(id), version, gone)
	if c.Op == syncline.ChangePut {
		if err := document.Check(c.Row); err != nil {
			return syncline.OutcomeRejected, err
		}
		doc = k.builder.record(recordKey(id), version, c.Row)
	}
	if err := k.batch.IndexAdvanced(doc); err != nil {
		return syncline.OutcomeRejected, syncline.Errorf(syncline.Rejected, "search_rejected", "index a record of %s: %w", c.Object, err)
	}
	k.entries[id] = entry{version: version, live: c.Op == syncline.ChangePut}
	return syncline.OutcomeApplied, nil
}

// truncate removes the records that are not newer, those earlier in the Write included. Where it is decided about records nothing is
// older than a decision: all go, and there is no floor.
func (k *work) truncate(ctx context.Context, version int64, decided bool) error {
	switch {
	case decided:
		version = math.MaxInt64
		k.decided, k.forgotten = map[string]syncline.Held{}, true
	case version <= k.floor:
		return nil
	default:
		k.floor = version
		k.batch.SetInternal(floorKey, strconv.AppendInt(nil, version, 10))
	}
	err := k.reader.each(ctx, nil, func(id string, e entry) error {
		if later, ok := k.entries[id]; ok {
			e = later
		}
		if e.version <= version {
			k.batch.Delete(id)
			delete(k.entries, id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, e := range k.entries {
		if e.version <= version {
			k.batch.Delete(id)
			delete(k.entries, id)
		}
	}
	return nil
}

// write makes the batch durable, all or nothing.
func (k *work) write() error {
	if k.batch.Size() == 0 {
		return nil
	}
	if err := k.index.bleve.Batch(k.batch); err != nil {
		return k.index.failed("write to", err)
	}
	return nil
}

// maxPurge is how many tombstones one batch forgets.
const maxPurge = 1000

// purgeLocked removes tombstones that are no longer needed, looking for them once in a tenth of their time.
func (ix *Index) purgeLocked(ctx context.Context, batch *bleve.Batch, now time.Time, tombstone time.Duration) error {
	if now.Sub(ix.purged) < tombstone/10 {
		return nil
	}
	least, until := 0.0, float64(now.UnixMilli())/1000
	due := bleve.NewNumericRangeQuery(&least, &until)
	due.SetField(goneField)
	result, err := ix.bleve.SearchInContext(ctx, bleve.NewSearchRequestOptions(due, maxPurge, 0, false))
	if err != nil {
		return err
	}
	for _, h := range result.Hits {
		batch.Delete(h.ID)
	}
	if len(result.Hits) < maxPurge {
		ix.purged = now
	}
	return nil
}
