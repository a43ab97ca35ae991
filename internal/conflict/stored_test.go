package conflict

import (
	"strconv"
	"testing"

	"syncline"
)

// A rule that knows fewer fields of an object than another one leaves what is remembered of the others as it is.
func TestShadowKeepsOtherFields(t *testing.T) {
	p := Policy{Detect: []Detector{Data}, Strategy: Manual}
	to := &target{tb: t, r: resolver(t, p)}
	to.apply(said("crm", 1, 1), row("Ann", "basic"), nil)

	c, err := Compile(p, "warehouse")
	if err != nil {
		t.Fatal(err)
	}
	narrow, err := c.Bind(&syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{schema.Columns[2], schema.Columns[0]}})
	if err != nil {
		t.Fatal(err)
	}
	ev := said("crm", 2, 2)
	ours := []syncline.Value{syncline.Text("gold"), row("Ann", "basic")[0]}
	v, err := narrow.Decide(&ev, ours, nil, syncline.Held{Values: []syncline.Value{to.row[2], to.row[0]}, Shadow: to.shadow})
	if err != nil || v.Op != syncline.ChangePut {
		t.Fatalf("Decide of the narrow rule = %+v, %v", v, err)
	}
	to.row[2], to.shadow = syncline.Text("gold"), v.Shadow

	// Somebody at the target changes the field that the narrow rule does not know, and so does our source.
	to.row[1] = syncline.Text("Bea")
	if v := to.apply(said("crm", 3, 3), row("Cho", "gold"), nil); v.Outcome != syncline.OutcomeConflict || v.Conflict.Base[1].Text() != "Ann" {
		t.Fatalf("Decide about the other field = %+v, want a conflict whose base is what the source said first", v)
	}
}

// Two fields whose names would be stored alike are refused, before one gets what is remembered of the other.
func TestFieldsThatAreStoredAlikeAreRefused(t *testing.T) {
	seen := map[nameDigest]string{}
	var a, b string
	for n := 0; a == ""; n++ {
		name := "field" + strconv.Itoa(n)
		d := digestOfName(name)
		if was, ok := seen[d]; ok {
			a, b = was, name
		}
		seen[d] = name
	}
	c, err := Compile(Policy{Detect: []Detector{Data}, Strategy: Manual}, "warehouse")
	if err != nil {
		t.Fatal(err)
	}
	s := &syncline.Schema{Entity: "customer", Key: []int{0}, Version: -1, Columns: []syncline.Column{schema.Columns[0], {Name: a}, {Name: b}}}
	if _, err := c.Bind(s); syncline.CodeOf(err) != "bad_conflict" {
		t.Errorf("Bind with the fields %s and %s = %v, want bad_conflict", a, b, err)
	}
}
