package search

import (
	"bytes"

	bdoc "github.com/blevesearch/bleve/v2/document"
	index "github.com/blevesearch/bleve_index_api"

	"syncline"
	"syncline/internal/document"
)

// judge asks what becomes of a record, and puts the answer into the batch. Its version vetoes nothing and never goes back. The shadow
// stands in the document of the record or in that of its tombstone.
func (k *work) judge(i int, c *syncline.Change, id string, gone float64, decide func(int, syncline.Held) (syncline.Decision, error)) (syncline.Outcome, error) {
	if k.refused[id] {
		return syncline.OutcomeHeld, nil
	}
	held, err := k.hold(c.Row.Schema, id)
	if err != nil {
		return 0, err
	}
	d, err := decide(i, held)
	if err != nil {
		return 0, err
	}
	have := k.entries[id]
	version := max(c.Order.Version(), have.version)
	now := syncline.Held{Values: held.Values, Shadow: d.Shadow}
	switch d.Op {
	case syncline.ChangePut:
		now.Values = whole(d.Values, held.Values)
		if err := document.Check(syncline.Row{Schema: c.Row.Schema, Values: now.Values}); err != nil {
			return syncline.OutcomeRejected, err
		}
	case syncline.ChangeDelete:
		now.Values = nil
	default:
		if bytes.Equal(held.Shadow, d.Shadow) && (held.Shadow == nil) == (d.Shadow == nil) {
			return d.Outcome, nil
		}
	}
	doc := k.builder.tombstone(recordKey(id), version, gone)
	if now.Values != nil {
		doc = k.builder.record(recordKey(id), version, syncline.Row{Schema: c.Row.Schema, Values: now.Values})
	}
	if now.Shadow != nil {
		doc.AddField(bdoc.NewTextFieldCustom(shadowField, nil, now.Shadow, index.StoreField, nil))
	}
	if err := k.batch.IndexAdvanced(doc); err != nil {
		return syncline.OutcomeRejected, syncline.Errorf(syncline.Rejected, "search_rejected", "index a record of %s: %w", c.Object, err)
	}
	k.entries[id] = entry{version: version, live: now.Values != nil}
	k.decided[id] = now
	return d.Outcome, nil
}

// whole are the values of a Put, with those that keep what there is.
func whole(values, held []syncline.Value) []syncline.Value {
	out := make([]syncline.Value, len(values))
	for i, v := range values {
		switch {
		case !v.IsUnset():
			out[i] = v
		case held != nil:
			out[i] = held[i]
		}
	}
	return out
}

// hold returns what the index has of a record, as it will be after the changes so far.
func (k *work) hold(s *syncline.Schema, id string) (syncline.Held, error) {
	if held, ok := k.decided[id]; ok || k.forgotten {
		return held, nil
	}
	d, err := k.reader.Document(id)
	if err != nil || d == nil {
		return syncline.Held{}, err
	}
	var held syncline.Held
	d.VisitFields(func(f index.Field) {
		switch f.Name() {
		case rowField:
			held.Values, _ = document.Parse(s, f.Value(), syncline.Null) // what is no record of ours counts as missing
		case shadowField:
			held.Shadow = append([]byte{}, f.Value()...)
		}
	})
	return held, nil
}
