package push

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"syscall"
	"time"

	"syncline"
	"syncline/internal/cloudevent"
)

// maxUnindexed bounds the ids in memory: that many cannot be waiting for the log, so the index is not keeping up.
const maxUnindexed = 200_000

// submit takes the records of one request, and returns once all of them are durable. Errors are *cloudevent.Error.
func (s *Source) submit(ctx context.Context, records []*cloudevent.Record, size int) error {
	ctx, cancel := context.WithTimeout(ctx, s.in.opts.Timeout)
	defer cancel()
	own, wait, stall, err := s.admit(ctx, records, size)
	if err != nil {
		return err
	}
	for _, r := range wait {
		select {
		case <-r.done:
			if r.err != nil {
				return r.err
			}
			continue
		default:
		}
		select {
		case <-r.done:
			if r.err != nil {
				return r.err
			}
		case <-stall:
			s.mu.Lock()
			stalled := s.stalled
			s.mu.Unlock()
			return stallError(stalled)
		case <-ctx.Done():
			s.abandon(own)
			return unavailable("log_unavailable", "the log of %s did not take the events in time", s.sys.name)
		}
	}
	return nil
}

// admit queues what is new and returns it (nil where nothing is) with all requests to wait for, and the channel that tells
// of a stall.
func (s *Source) admit(ctx context.Context, records []*cloudevent.Record, size int) (own *request, wait []*request, stall <-chan struct{}, err error) {
	own = &request{bytes: size, received: time.Now(), done: make(chan struct{})}
	first := make(map[string][]byte, len(records))
	ids := make([]string, 0, len(records))
	for i, r := range records {
		print := r.Fingerprint()
		if known, twice := first[r.Meta.ID]; twice {
			if !bytes.Equal(known, print) {
				return nil, nil, nil, conflict(i)
			}
			continue
		}
		first[r.Meta.ID] = print
		ids = append(ids, r.Meta.ID)
		own.records, own.prints, own.ordinals = append(own.records, r), append(own.prints, print), append(own.ordinals, uint32(i+1))
	}

	s.gate.RLock()
	defer s.gate.RUnlock()
	own.versions = versionIDs(own.records)
	seen, err := s.in.opts.Index.SeenIDs(ctx, s.sys.name, slices.AppendSeq(slices.Clone(ids), maps.Keys(own.versions)))
	if err != nil {
		s.log.Warn("ids of events cannot be looked up", "code", syncline.CodeOf(err), "err", err)
		return nil, nil, nil, unavailable("index_unavailable", "the ids of events cannot be looked up")
	}
	for id := range own.versions {
		own.versions[id] = readVersion(seen[id])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.ready:
		return nil, nil, nil, closedError(s.sys.name)
	case s.stalled != nil:
		return nil, nil, nil, stallError(s.stalled)
	case len(s.ids)+len(ids) > maxUnindexed:
		return nil, nil, nil, unavailable("index_unavailable", "the ids of events cannot be saved")
	}
	fresh := 0
	for i, r := range own.records {
		known, inMemory := s.ids[r.Meta.ID]
		print, inIndex := seen[r.Meta.ID]
		switch {
		case inMemory && !bytes.Equal(known.print, own.prints[i]), !inMemory && inIndex && !bytes.Equal(print, own.prints[i]):
			return nil, nil, nil, conflict(int(own.ordinals[i] - 1))
		case inMemory:
			if !slices.Contains(wait, known.req) {
				wait = append(wait, known.req)
			}
		case !inIndex:
			own.records[fresh], own.prints[fresh], own.ordinals[fresh] = r, own.prints[i], own.ordinals[i]
			fresh++
		}
	}
	if fresh == 0 {
		return nil, wait, s.stall, nil
	}
	own.records, own.prints, own.ordinals = own.records[:fresh], own.prints[:fresh], own.ordinals[:fresh]
	for i, r := range own.records {
		s.ids[r.Meta.ID] = entry{own.prints[i], own}
	}
	s.queue = append(s.queue, own)
	note(s.wake)
	return own, append(wait, own), s.stall, nil
}

// abandon takes a request that nobody waits for out of the queue. One that is in capture's hands stays: its fate is not
// ours to say, and its ids answer when it is sent again.
func (s *Source) abandon(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.queue, r); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
		s.failLocked(r, unavailable("log_unavailable", "the log of %s did not take the events in time", s.sys.name))
	}
}

func conflict(event int) error {
	return cloudevent.Refuse(http.StatusConflict, "id_conflict", "id", "the id was used for an event with another body").In(event)
}

// stallError is the answer while nothing can be appended.
func stallError(err error) error {
	switch syncline.CodeOf(err) {
	case "log_full", "log_disk", "disk_full":
	default:
		if !errors.Is(err, syscall.ENOSPC) {
			return unavailable("log_unavailable", "the log does not answer")
		}
	}
	e := unavailable("log_full", "the log or its disk is full")
	e.Status = http.StatusInsufficientStorage
	e.Err.Fix = "free space, or raise log.max_bytes; events are taken again by themselves then"
	return e
}
