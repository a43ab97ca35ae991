package cloudevent

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// outgoing is one change of each kind that an event target is asked to send.
func outgoing() []*syncline.Change {
	schema := &syncline.Schema{Entity: "order", Table: "order", Version: -1, Key: []int{0}, Columns: []syncline.Column{
		{Name: "id", Kind: syncline.KindInt}, {Name: "total", Kind: syncline.KindDecimal}, {Name: "note", Kind: syncline.KindText}}}
	one := []syncline.Value{syncline.Int(1), syncline.Decimal("12.50"), syncline.Text("a \"b\" 李\n")}
	two := []syncline.Value{syncline.Int(1), syncline.Decimal("13.00"), syncline.Unset}
	b := &syncline.Batch{Source: "shop", Position: syncline.Position{Epoch: 1, Commit: 0x1A2B, Ordinal: 6},
		Txns: []syncline.Txn{{Commit: 0x1A2B, Time: time.Date(2026, 3, 1, 4, 0, 0, 120000000, time.UTC)}},
		Events: []syncline.Event{
			{Op: syncline.OpCreated, Schema: schema, Ordinal: 1, After: one},
			{Op: syncline.OpUpdated, Schema: schema, Ordinal: 2, Before: one, After: two},
			{Op: syncline.OpDeleted, Schema: schema, Ordinal: 3, Before: one},
			{Op: syncline.OpMerged, Schema: schema, Ordinal: 4, Before: one, Meta: &syncline.Meta{ID: "pushed-1", Time: time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC),
				Correlation: "c", User: "u", Session: "s", Reason: "why", Tags: []string{"a", "b"}, Priority: syncline.PriorityHigh, Into: "9", Version: 4, Trace: "00-1"}},
			{Op: syncline.OpTruncated, Schema: schema, Ordinal: 5},
			{Op: syncline.OpUpdated, Schema: schema, Ordinal: 6, After: two},
		}}
	row := func(v []syncline.Value) syncline.Row { return syncline.Row{Schema: schema, Values: v} }
	return []*syncline.Change{
		{Op: syncline.ChangeSend, Row: row(one), Batch: b, Event: 0},
		{Op: syncline.ChangeSend, Row: row(two), Before: one, Batch: b, Event: 1, Version: 77},
		{Op: syncline.ChangeSend, Row: row(one), Batch: b, Event: 2},
		{Op: syncline.ChangeSend, Row: row(one), Before: one, Batch: b, Event: 3},
		{Op: syncline.ChangeSend, Row: row(nil), Batch: b, Event: 4},
		{Op: syncline.ChangeSend, Row: row(two), Batch: b, Event: 5},
	}
}

func TestAppendChangeGolden(t *testing.T) {
	var got []byte
	for _, c := range outgoing() {
		got = append(AppendChange(got, "https://syncline.example/shop", c), '\n')
	}
	path := filepath.Join("testdata", "outgoing.jsonl")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("AppendChange (-want +got):\n%s", diff)
	}
}

// TestSentEventsCanBeReceived: what goes out of one Syncline goes into another, values and attributes alike.
func TestSentEventsCanBeReceived(t *testing.T) {
	for i, c := range outgoing() {
		e := &c.Batch.Events[c.Event]
		body := AppendChange(nil, "shop", c)
		if !json.Valid(body) {
			t.Fatalf("change %d is not JSON: %s", i, body)
		}
		ev, err := Decode(header("Content-Type", MediaType), body, Limits{})
		if err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
		if e.Op == syncline.OpTruncated {
			continue // not accepted from outside
		}
		r, err := Parse(&ev[0], entities)
		if err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
		if r.Op != e.Op || r.Meta.ID != c.Batch.EventID(c.Event) || !r.Meta.Time.Equal(c.Batch.TimeOf(c.Event)) {
			t.Errorf("change %d: %s %s %s", i, r.Op, r.Meta.ID, r.Meta.Time)
		}
		if e.Meta != nil {
			if diff := cmp.Diff(*e.Meta, r.Meta); diff != "" {
				t.Errorf("change %d: attributes (-sent +received):\n%s", i, diff)
			}
		}
		for _, image := range []struct {
			sent     []syncline.Value
			received []field
		}{{e.Before, r.before}, {e.After, r.after}} {
			for j, v := range image.sent {
				at, found := find(image.received, c.Row.Schema.Columns[j].Name)
				if found == v.IsUnset() || found && !syncline.Equal(image.received[at].value, v) {
					t.Errorf("change %d: column %s: sent %s, received %v", i, c.Row.Schema.Columns[j].Name, v, image.received)
				}
			}
		}
	}
}
