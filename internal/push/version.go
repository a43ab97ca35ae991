package push

import (
	"encoding/binary"
	"strings"

	"syncline"
	"syncline/internal/cloudevent"
)

// An event whose entityversion is below its key's highest one is superseded: it is stored, and no route applies it. The decision is
// made when the event gets its place in the log, since only then is it certain what comes before it, and is stored with it. The
// versions of keys are in the index beside the ids of events, for as long as the log holds the event that raised them, under names
// that no event's id can have.

const versionPrefix = "\x00version\x00"

func versionID(entity string, key syncline.Key) string {
	return versionPrefix + entity + "\x00" + string(key)
}

func versionValue(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }

// readVersion returns what versionValue wrote, 0 for nothing.
func readVersion(value []byte) int64 {
	if len(value) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(value))
}

// versionIDs returns a place for the version of each key that a record has one of.
func versionIDs(records []*cloudevent.Record) map[string]int64 {
	var ids map[string]int64
	for _, r := range records {
		if r.Meta.Version > 0 {
			if ids == nil {
				ids = map[string]int64{}
			}
			ids[versionID(r.Entity.Name, r.Key())] = 0
		}
	}
	return ids
}

// judgeLocked decides which records of a request that leaves the queue are superseded.
func (s *Source) judgeLocked(r *request) {
	r.superseded = make([]bool, len(r.records))
	for i, record := range r.records {
		version := record.Meta.Version
		if version == 0 {
			continue
		}
		id := versionID(record.Entity.Name, record.Key())
		if r.superseded[i] = version < max(r.versions[id], s.versions[id]); r.superseded[i] {
			continue
		}
		if r.raised == nil {
			r.raised = map[string]int64{}
		}
		r.raised[id], s.versions[id] = version, version
	}
}

// savedLocked takes over that the index has the value. Requests in the queue looked at the index before.
func (s *Source) savedLocked(id string, value []byte) {
	if !strings.HasPrefix(id, versionPrefix) {
		return
	}
	version := readVersion(value)
	if s.versions[id] == version {
		delete(s.versions, id)
	}
	for _, r := range s.queue {
		if was, asks := r.versions[id]; asks {
			r.versions[id] = max(was, version)
		}
	}
}
