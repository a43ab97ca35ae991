package cloudevent

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// columns learns from records of the order entity and returns the columns of the last one with their kinds.
func columns(t *testing.T, s *Shapes, data ...string) string {
	t.Helper()
	var records []*Record
	for _, d := range data {
		r, err := parseOne(t, `"type":"order.updated","data":`+d)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	s.Learn(records)
	e := s.Event(records[len(records)-1])
	out := ""
	for _, c := range e.Schema.Columns {
		out += c.Name + ":" + c.Kind.String() + " "
	}
	return out
}

func TestKindsOnlyWiden(t *testing.T) {
	s := NewShapes()
	for _, step := range []struct {
		data []string
		want string
	}{
		{[]string{`{"id":1,"n":1}`}, "id:int n:int "},
		{[]string{`{"id":1,"n":null}`}, "id:int n:int "},
		{[]string{`{"id":1,"n":1.5}`}, "id:int n:decimal "},
		{[]string{`{"id":1,"n":2}`}, "id:int n:decimal "},
		{[]string{`{"id":"x","n":true}`}, "id:text n:text "},
		{[]string{`{"id":1,"first":null,"o":{}}`}, "first:text id:text n:text o:json "},
		{[]string{`{"id":1,"later":null}`, `{"id":1,"later":1}`}, "first:text id:text later:int n:text o:json "},
		{[]string{`{"id":1,"o":7}`}, "first:text id:text later:int n:text o:text "},
	} {
		if got := columns(t, s, step.data...); got != step.want {
			t.Errorf("columns after %v = %s, want %s", step.data, got, step.want)
		}
	}
}

func TestSchemaIsSharedWhileItIsTheSame(t *testing.T) {
	s := NewShapes()
	op := "updated"
	event := func(data string) syncline.Event {
		r, err := parseOne(t, `"type":"order.`+op+`","data":`+data)
		if err != nil {
			t.Fatal(err)
		}
		s.Learn([]*Record{r})
		return s.Event(r)
	}
	a, b := event(`{"id":1,"rev":5,"a":1}`), event(`{"a":2,"rev":6,"id":2}`)
	if a.Schema != b.Schema {
		t.Error("two records with the same fields have two schemas")
	}
	if c := event(`{"id":1,"a":1}`); c.Schema != a.Schema || !c.After[2].IsUnset() {
		t.Errorf("an update without a field is %s with the schema %+v, want the same one", show(&c), c.Schema)
	}
	op = "deleted"
	if c := event(`{"id":1}`); c.Schema != a.Schema || !c.Before[0].IsUnset() {
		t.Errorf("a removal is %s with the schema %+v, want the same one", show(&c), c.Schema)
	}
	op = "created"
	if c := event(`{"id":1,"a":1}`); c.Schema != a.Schema || !c.After[2].IsNull() {
		t.Errorf("a new record without a field is %s with the schema %+v, want it null", show(&c), c.Schema)
	}
	for op, data := range map[string]string{"created": `{"id":1}`, "updated": `{"id":1,"a":null}`} {
		r, err := parseOne(t, `"type":"order.`+op+`","data":`+data)
		if err != nil {
			t.Fatal(err)
		}
		if e := s.Event(r); !bytes.Equal(FingerprintOf(&e), r.Fingerprint()) {
			t.Errorf("the stored form of a record that is %s without a field has another fingerprint: %s", op, show(&e))
		}
	}
	want := &syncline.Schema{Entity: "order", Table: "order", Version: 2, Key: []int{1}, Columns: []syncline.Column{
		{Name: "a", Kind: syncline.KindInt, Nullable: true}, {Name: "id", Kind: syncline.KindInt}, {Name: "rev", Kind: syncline.KindInt, Nullable: true}}}
	if diff := cmp.Diff(want, a.Schema); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
}

func TestKindsSurviveARestart(t *testing.T) {
	s := NewShapes()
	columns(t, s, `{"id":1,"n":1.5,"o":{},"b":true}`)
	again, err := ParseShapes(s.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := columns(t, again, `{"id":2,"n":null,"o":null,"b":null}`), "b:bool id:int n:decimal o:json "; got != want {
		t.Errorf("columns of nulls after a restart = %s, want %s", got, want)
	}
	if s, err := ParseShapes(nil); err == nil {
		t.Errorf("ParseShapes(nil) = %v, want an error", s)
	}
}

// TestSubjectTakesTheKindOfTheKey: a delete by subject has the value that a target finds the record by.
func TestSubjectTakesTheKindOfTheKey(t *testing.T) {
	for _, tt := range []struct{ first, want string }{
		{`{"id":1}`, "deleted | id=int(7) | -"},
		{`{"id":"1"}`, "deleted | id=text(7) | -"},
		{`{"id":1.5}`, "deleted | id=text(7) | -"},
	} {
		s := NewShapes()
		columns(t, s, tt.first)
		r, err := parseOne(t, `"type":"order.deleted","subject":"7"`)
		if err != nil {
			t.Fatal(err)
		}
		s.Learn([]*Record{r})
		e := s.Event(r)
		if got := show(&e); got != tt.want {
			t.Errorf("after %s: %s, want %s", tt.first, got, tt.want)
		}
	}
}

func TestInventedNamesAreBounded(t *testing.T) {
	s := NewShapes()
	for i := range 5000 {
		columns(t, s, fmt.Sprintf(`{"id":1,"f%d":1}`, i))
	}
	if n := len(s.kinds["order"]); n > maxKinds {
		t.Errorf("%d kinds are remembered, at most %d", n, maxKinds)
	}
	if n := len(s.schemas); n > maxSchemas {
		t.Errorf("%d schemas are remembered, at most %d", n, maxSchemas)
	}
	if got, want := columns(t, s, `{"id":1,"unheard":1}`), "id:int unheard:text "; got != want {
		t.Errorf("columns beyond the bound = %s, want %s", got, want)
	}
}
