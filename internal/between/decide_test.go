package between

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// TestAColumnThatBothHaveOnlyNow: nobody has said anything of it yet, and one side has a value already.
func TestAColumnThatBothHaveOnlyNow(t *testing.T) {
	before := Record{syncline.Int(1), syncline.Unset}
	bare, filled := Record{syncline.Int(1), syncline.Null}, one("b")
	shadow := &Shadow{Round: 1, Result: before, Seen: before}
	for _, c := range []struct {
		held  [2]Held
		write [2]bool
	}{
		{[2]Held{{bare, shadow}, {Record: filled}}, [2]bool{true, false}},
		{[2]Held{{filled, shadow}, {Record: bare}}, [2]bool{false, true}},
	} {
		first := func(*Overlap) (syncline.Value, bool) { return syncline.Null, true } // a policy that would lose it
		if got := Decide(c.held, &Policy{Resolve: first}); !equalRecords(got.Result, filled) || got.Write != c.write {
			t.Errorf("Decide = %v, writes %v, want the value on both sides", got.Result, got.Write)
		}
	}
}

// one is a record of a key and a text; "" = no record.
func one(s string) Record {
	if s == "" {
		return nil
	}
	return Record{syncline.Int(1), syncline.Text(s)}
}

func TestDecide(t *testing.T) {
	// agreed has both sides at "old": the first side was written last.
	agreed := func(first, second string) [2]Held {
		return [2]Held{{one(first), &Shadow{Round: 1, Result: one("old"), Seen: one("old")}}, {Record: one(second)}}
	}
	// pending has the first side at "new", which the second one has still to be given.
	pending := func(first, second string) [2]Held {
		return [2]Held{{one(first), &Shadow{Round: 1, Result: one("new"), Seen: one("old")}}, {Record: one(second)}}
	}
	// going has the first side without the record, which the second one has still to lose.
	going := func(first, second string) [2]Held {
		return [2]Held{{one(first), &Shadow{Round: 1, Seen: one("old")}}, {Record: one(second)}}
	}
	for _, c := range []struct {
		name    string
		held    [2]Held
		deleted Deleted
		want    string // the result
		write   [2]bool
		note    bool
		forget  bool
		fields  []int
		asks    bool // a person
	}{
		{name: "nothing anywhere", held: [2]Held{}},
		{name: "first contact, one side", held: [2]Held{{Record: one("a")}, {}}, want: "a", write: [2]bool{false, true}},
		{name: "first contact, equal", held: [2]Held{{Record: one("a")}, {Record: one("a")}}, want: "a", note: true},
		{name: "first contact, different", held: [2]Held{{Record: one("a")}, {Record: one("b")}}, asks: true, fields: []int{1}},
		{name: "an echo", held: agreed("old", "old"), want: "old"},
		{name: "the first side changed", held: agreed("a", "old"), want: "a", write: [2]bool{false, true}},
		{name: "the second side changed", held: agreed("old", "b"), want: "b", write: [2]bool{true, false}},
		{name: "both changed alike", held: agreed("a", "a"), want: "a", note: true},
		{name: "both changed", held: agreed("a", "b"), asks: true, fields: []int{1}},
		{name: "deleted on the first side", held: agreed("", "old"), write: [2]bool{false, true}},
		{name: "deleted on the second side", held: agreed("old", ""), write: [2]bool{true, false}},
		{name: "deleted on both", held: agreed("", ""), forget: true},
		{name: "deleted against changed, loses", held: agreed("", "b"), want: "b", write: [2]bool{true, false}},
		{name: "deleted against changed, wins", held: agreed("", "b"), deleted: DeletedWins, write: [2]bool{false, true}},
		{name: "deleted against changed, a person", held: agreed("", "b"), deleted: DeletedConflict, asks: true},
		{name: "half written", held: pending("new", "old"), want: "new", write: [2]bool{false, true}},
		{name: "half written, answer lost", held: pending("new", "new"), want: "new", note: true},
		{name: "half written, then changed where it was written", held: pending("a", "old"), want: "a", write: [2]bool{false, true}},
		{name: "half written, then changed where it was not", held: pending("new", "b"), asks: true, fields: []int{1}},
		{name: "half written, then deleted where it was written", held: pending("", "old"), write: [2]bool{false, true}},
		{name: "half written, then deleted where it was not", held: pending("new", ""), deleted: DeletedConflict, asks: true},
		{name: "half deleted", held: going("", "old"), write: [2]bool{false, true}},
		{name: "half deleted, then made anew", held: going("a", "old"), want: "a", write: [2]bool{false, true}},
		{name: "half deleted, then changed on the other side", held: going("", "b"), deleted: DeletedConflict, asks: true},
		{name: "half deleted, then deleted on the other side and made anew", held: going("a", ""), want: "a", write: [2]bool{false, true}},
		{name: "half deleted, then gone on both", held: going("", ""), forget: true},
		{name: "a side has lost its memory and its record", want: "old", write: [2]bool{true, false},
			held: [2]Held{{}, {one("old"), &Shadow{Round: 7, Result: one("old"), Seen: one("old"), SeenRound: 6}}}},
		{name: "a side was restored to before the last change", want: "new", write: [2]bool{true, false},
			held: [2]Held{{one("old"), &Shadow{Round: 2, Result: one("old"), Seen: one("old")}},
				{one("new"), &Shadow{Round: 7, Result: one("new"), Seen: one("new"), SeenRound: 6}}}},
	} {
		got := Decide(c.held, &Policy{Deleted: c.deleted})
		if got.Conflict != c.asks || !c.asks && !equalRecords(got.Result, one(c.want)) || got.Write != c.write || got.Note != c.note || got.Forget != c.forget {
			t.Errorf("%s: Decide = %+v, want %q and %+v", c.name, got, c.want, c)
		}
		if diff := cmp.Diff(c.fields, got.Fields); diff != "" {
			t.Errorf("%s: fields in conflict (-want +got):\n%s", c.name, diff)
		}
		mirrored := [2]Held{c.held[1], c.held[0]}
		if back := Decide(mirrored, &Policy{Deleted: c.deleted}); back.Conflict != got.Conflict || !got.Conflict && !equalRecords(back.Result, got.Result) {
			t.Errorf("%s: with the sides exchanged Decide = %+v, not %+v", c.name, back, got)
		}
	}
}

func TestStrategies(t *testing.T) {
	columns := []syncline.Column{{Name: "id", Kind: syncline.KindInt}, {Name: "name", Kind: syncline.KindText}, {Name: "stock", Kind: syncline.KindDecimal},
		{Name: "changed", Kind: syncline.KindTimestampTZ}}
	s := &Strategies{Default: LastWriteWins, Fields: map[string]Strategy{"stock": Sum, "id": Manual}, TimeField: "changed", Preferred: 1}
	p, err := s.Policy(columns)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name, stock, changed string) Record {
		v := syncline.Null
		if changed != "" {
			v = syncline.Raw(syncline.KindTimestampTZ, []byte("2026-03-04 05:06:"+changed+"+00"))
		}
		return Record{syncline.Int(1), syncline.Text(name), syncline.Decimal(stock), v}
	}
	base := at("old", "10", "00")
	for _, c := range []struct {
		name string
		held [2]Record
		want Record
	}{
		{"the later one", [2]Record{at("a", "10", "07"), at("b", "10", "05")}, at("a", "10", "07")},
		{"without a time", [2]Record{at("a", "10", "07"), at("b", "10", "")}, at("a", "10", "07")},
		{"one time", [2]Record{at("a", "10", "07"), at("b", "10", "07")}, at("b", "10", "07")},
		{"changes add up", [2]Record{at("old", "7.50", "07"), at("old", "12", "05")}, at("old", "9.50", "07")},
		{"changes that take more than there is", [2]Record{at("old", "2", "07"), at("old", "1.5", "05")}, at("old", "-6.5", "07")},
		{"equal changes add up too", [2]Record{at("old", "11", "00"), at("old", "11", "00")}, at("old", "12", "00")},
	} {
		held := [2]Held{{c.held[0], &Shadow{Round: 3, Result: base, Seen: base}}, {Record: c.held[1]}}
		if got := Decide(held, p); got.Conflict || !equalRecords(got.Result, c.want) {
			t.Errorf("%s: Decide = %v, want %v", c.name, got.Result, c.want)
		}
	}
	for _, bad := range []*Strategies{{Default: LastWriteWins}, {Default: LastWriteWins, TimeField: "name"}, {Fields: map[string]Strategy{"name": Sum}},
		{Fields: map[string]Strategy{"colour": Manual}}} {
		if _, err := bad.Policy(columns); syncline.ClassOf(err) != syncline.Fatal || syncline.FixOf(err) == "" {
			t.Errorf("Policy of %+v = %v, want a fatal error with a fix", bad, err)
		}
	}
}
