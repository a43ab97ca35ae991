package memsource

import (
	"slices"
	"strconv"

	"syncline"
)

// maxDone bounds how many ended runs a checkpoint remembers.
const maxDone = 32

// run is a run in progress, as the checkpoint has it.
type run struct {
	ID     string           `json:"id"`
	Kind   syncline.RunKind `json:"kind"`
	Entity string           `json:"entity"`
	Keys   []syncline.Key   `json:"keys,omitempty"`
	Routes []string         `json:"routes,omitempty"`
	Reset  bool             `json:"reset,omitempty"`
	Empty  bool             `json:"empty,omitempty"`
	// From leaves out the records up to this key.
	From syncline.Key `json:"from,omitempty"`
	// After is the key up to which the entity was read, Number the last chunk.
	After  syncline.Key `json:"after,omitempty"`
	Number uint32       `json:"number,omitempty"`
}

// StartRun implements syncline.RunReader.
func (s *Source) StartRun(r syncline.Run) error {
	sys := s.opt.System
	sys.mu.Lock()
	defer sys.mu.Unlock()
	known := func(o run) bool { return o.ID == r.ID }
	if slices.Contains(s.checkpoint.Done, r.ID) || slices.ContainsFunc(s.checkpoint.Runs, known) {
		return nil
	}
	if schema := s.schemas[r.Entity]; schema != nil && r.Kind == syncline.RunKeys {
		if err := syncline.CheckKeys(r.Entity, r.Keys, len(schema.Key)); err != nil {
			return err
		}
	}
	if schema := s.schemas[r.Entity]; schema != nil && r.From != "" {
		if err := syncline.CheckKeys(r.Entity, []syncline.Key{r.From}, len(schema.Key)); err != nil {
			return err
		}
	}
	s.checkpoint.Runs = append(s.checkpoint.Runs, run{ID: r.ID, Kind: r.Kind, Entity: r.Entity,
		Keys: slices.Clone(r.Keys), Routes: slices.Clone(r.Routes), Reset: r.Reset, From: r.From})
	sys.wakeLocked()
	return nil
}

// Pace implements syncline.RunPacer.
func (s *Source) Pace(id string, p syncline.Pace) {
	sys := s.opt.System
	sys.mu.Lock()
	defer sys.mu.Unlock()
	if s.paces == nil {
		s.paces = make(map[string]syncline.Pace)
	}
	s.paces[id] = p
	sys.wakeLocked()
}

// due returns the place of the run whose turn it is, -1 for none.
func (s *Source) due() int {
	return slices.IndexFunc(s.checkpoint.Runs, func(r run) bool {
		p, paced := s.paces[r.ID]
		return !paced || r.Kind == syncline.RunKeys || p.End || r.Number < p.Upto
	})
}

// chunk reads the next chunk of a run.
func (s *Source) chunk(at int) (*syncline.Batch, bool, error) {
	r := &s.checkpoint.Runs[at]
	r.Number++
	p := s.paces[r.ID]
	b := &syncline.Batch{Chunk: &syncline.Chunk{Run: r.ID, Kind: r.Kind, Number: r.Number, Entity: r.Entity, Routes: r.Routes,
		First: r.Number == 1, Reset: r.Reset, EmptyBefore: r.Empty}}
	// Changes of a keyless table that came before its copy cannot be told from the rows copied: the copy replaces them.
	b.Chunk.Reset = r.Reset || r.Number == 1 && s.schemas[r.Entity] != nil && len(s.schemas[r.Entity].Key) == 0
	switch {
	case p.End:
		b.Chunk.Last, b.Chunk.Reset = true, false
	case r.Kind == syncline.RunKeys:
		b.Chunk.Last = s.readKeys(b, r)
	default:
		b.Chunk.Last = s.readRows(b, r, p.Rows)
	}
	if b.Chunk.Last {
		s.checkpoint.Done = append(s.checkpoint.Done, r.ID)
		s.checkpoint.Done = s.checkpoint.Done[max(0, len(s.checkpoint.Done)-maxDone):]
		delete(s.paces, r.ID)
		s.checkpoint.Runs = slices.Delete(s.checkpoint.Runs, at, at+1)
	}
	b, err := s.seal(b)
	return b, err == nil, err
}

// readRows adds the next rows and reports whether they were the last. A keyless table is one chunk: nothing could say
// where it was cut.
func (s *Source) readRows(b *syncline.Batch, r *run, most int) (last bool) {
	t := s.content.table(r.Entity)
	if r.After == "" {
		r.After = r.From
	}
	rows := t.sorted(r.After)
	n := len(rows)
	if len(t.loose) == 0 {
		if n = min(n, s.opt.ChunkRows); most > 0 {
			n = min(n, most)
		}
	}
	for i, row := range rows[:n] {
		b.Events = append(b.Events, syncline.Event{Op: syncline.OpSnapshot, Schema: row.Schema, Ordinal: uint32(i + 1), After: row.Values})
		r.After, _ = row.Key()
	}
	return n == len(rows)
}

// readKeys answers the next keys and reports whether they were the last.
func (s *Source) readKeys(b *syncline.Batch, r *run) (last bool) {
	schema := s.schemas[r.Entity]
	if schema == nil {
		return true
	}
	t := s.content.table(r.Entity)
	n := min(len(r.Keys), s.opt.ChunkRows)
	for i, k := range r.Keys[:n] {
		e := syncline.Event{Op: syncline.OpRepair, Schema: schema, Ordinal: uint32(i + 1)}
		asked := keyOnly(schema, k)
		k, _ = syncline.Row{Schema: schema, Values: asked}.Key() // it may be written in another way
		if row, ok := t.keyed[k]; ok {
			e.Schema, e.After = row.Schema, row.Values
		} else {
			e.Op, e.Before = syncline.OpAbsent, asked
		}
		b.Events = append(b.Events, e)
	}
	r.Keys = slices.Clone(r.Keys[n:])
	return len(r.Keys) == 0
}

// keyOnly returns a row of the schema that has the key and nothing else.
func keyOnly(s *syncline.Schema, k syncline.Key) []syncline.Value {
	row := make([]syncline.Value, len(s.Columns))
	for i := range row {
		row[i] = syncline.Unset
	}
	parts, err := k.Parts()
	if k == "" { // the empty text, as a key of one column
		parts = []string{""}
	}
	for i, c := range s.Key {
		row[c] = syncline.Null
		if err == nil && i < len(parts) && parts[i] != "\x00" {
			row[c] = keyPart(s.Columns[c].Kind, parts[i])
		}
	}
	return row
}

func keyPart(k syncline.Kind, text string) syncline.Value {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && k == syncline.KindInt {
		return syncline.Int(n)
	}
	return syncline.Raw(k, []byte(text))
}
