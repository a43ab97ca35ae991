package push

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"time"

	"syncline"
	"syncline/internal/cloudevent"
)

const (
	// markID is where the mark stands among the ids; no event has it.
	markID = ""
	// forever is a bound that no sequence reaches.
	forever syncline.Seq = math.MaxInt64
	// saveStep bounds the ids that are saved at once while the index catches up.
	saveStep   = 5000
	retryDelay = time.Second
)

// indexer brings the durable ids into the index, behind the answers.
type indexer struct {
	source *Source
	index  Index
	log    Log

	mark syncline.Seq // every id of an entry below it is in the index
	// candidate becomes the mark when every request up to its commit is saved: the log ended at seq when no request beyond
	// commit had been handed out.
	candidate struct {
		seq    syncline.Seq
		commit uint64
	}
	trimmed syncline.Seq
}

func (ix *indexer) markValue() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(ix.mark)), ix.log.ID()...)
}

// catchUp adds the ids of the entries from the mark on.
func (ix *indexer) catchUp(ctx context.Context) error {
	name := ix.source.sys.name
	bounds, err := ix.log.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("read the bounds of the log of %s: %w", name, err)
	}
	seen, err := ix.index.SeenIDs(ctx, name, []string{markID})
	if err != nil {
		return fmt.Errorf("read the index of %s: %w", name, err)
	}
	ix.mark = max(bounds.First, 1)
	if mark := seen[markID]; len(mark) >= 8 {
		seq := syncline.Seq(binary.BigEndian.Uint64(mark))
		if string(mark[8:]) != ix.log.ID() || seq > bounds.Last+1 {
			ix.source.log.Warn("the index of event ids is not of this log and is made anew")
			// The mark goes first: should the process end before all ids are gone, and the log come back that they are of, it would stand over those that are missing.
			if err := ix.index.SaveIDs(ctx, name, ix.mark-1, map[string][]byte{markID: ix.markValue()}); err != nil {
				return fmt.Errorf("empty the index of %s: %w", name, err)
			}
			if err := ix.index.TrimIDs(ctx, name, forever); err != nil {
				return fmt.Errorf("empty the index of %s: %w", name, err)
			}
		} else {
			ix.mark = max(seq, ix.mark)
		}
	}
	if ix.mark > bounds.Last {
		return nil
	}
	ids := map[string][]byte{}
	save := func() error {
		ids[markID] = ix.markValue()
		err := ix.index.SaveIDs(ctx, name, ix.mark-1, ids)
		clear(ids)
		if err != nil {
			return fmt.Errorf("save ids of %s: %w", name, err)
		}
		return nil
	}
	reader, err := ix.log.Read(ctx, ix.mark)
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", name, err)
	}
	defer reader.Close() //nolint:errcheck // it holds nothing that could be lost
	for ix.mark <= bounds.Last {
		entry, err := reader.Next(ctx)
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", name, err)
		}
		b, err := syncline.DecodeBatch(entry.Data)
		if err != nil {
			return syncline.Errorf(syncline.Fatal, "log_corrupt", "read entry %d of the log of %s: %w", entry.Seq, name, err).
				WithFix("restore the log directory from a backup")
		}
		for i := range b.Events {
			if e := &b.Events[i]; e.Meta != nil && e.Meta.ID != "" {
				ids[e.Meta.ID] = cloudevent.FingerprintOf(e)
				if key, ok := e.Key(); ok && e.Meta.Version > 0 && !e.Meta.Superseded {
					ids[versionID(e.Schema.Entity, key)] = versionValue(e.Meta.Version)
				}
			}
		}
		ix.mark = entry.Seq + 1
		if len(ids) >= saveStep {
			if err := save(); err != nil {
				return err
			}
		}
	}
	return save()
}

// run saves ids as they become durable, until ctx ends. It needs no last word: what it has not saved, the next catchUp does.
func (ix *indexer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	<-timer.C
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ix.source.confirm:
		case <-timer.C:
		}
		if err := ix.save(ctx); err != nil && ctx.Err() == nil {
			ix.source.log.Warn("ids of events cannot be saved", "code", syncline.CodeOf(err), "err", err, "retry_in", retryDelay)
			timer.Reset(retryDelay)
		}
	}
}

// save moves what is durable into the index and then out of memory.
func (ix *indexer) save(ctx context.Context) error {
	s := ix.source
	s.mu.Lock()
	ids := maps.Clone(s.unsaved)
	confirmed := s.confirmed
	s.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	// The log's end comes after the look at what is confirmed, so that it is at or beyond all of it: ids may stay longer than
	// their entry, never shorter. What has been handed out comes after the log's end, so that it covers every entry up to it.
	bounds, err := ix.log.Bounds(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	handed := s.commit
	s.mu.Unlock()
	switch {
	case confirmed >= handed:
		ix.mark, ix.candidate.seq = bounds.Last+1, 0
	case ix.candidate.seq == 0:
		ix.candidate.seq, ix.candidate.commit = bounds.Last, handed
	case confirmed >= ix.candidate.commit:
		ix.mark = ix.candidate.seq + 1
		ix.candidate.seq, ix.candidate.commit = bounds.Last, handed
	}
	saved := len(ids)
	ids[markID] = ix.markValue()
	if err := ix.index.SaveIDs(ctx, s.sys.name, bounds.Last, ids); err != nil {
		return err
	}
	delete(ids, markID)

	s.gate.Lock()
	s.mu.Lock()
	for id, value := range ids {
		if bytes.Equal(s.unsaved[id], value) { // a key's version may have been raised meanwhile
			delete(s.unsaved, id)
		}
		delete(s.ids, id)
		s.savedLocked(id, value)
	}
	s.mu.Unlock()
	s.gate.Unlock()
	s.log.Debug("ids of events saved", "ids", saved)

	if bounds.First > ix.trimmed {
		if err := ix.index.TrimIDs(ctx, s.sys.name, bounds.First); err != nil {
			return err
		}
		ix.trimmed = bounds.First
	}
	return nil
}
