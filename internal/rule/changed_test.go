package rule

import (
	"testing"

	"syncline"
)

func TestUnchanged(t *testing.T) {
	silver := row()
	silver[1] = syncline.Text("silver")
	noted := row()
	noted[8] = syncline.Text("a note")
	unsent := row()
	unsent[1], unsent[8] = syncline.Unset, syncline.Text("a note")
	key := unset(7)
	moved := row()
	moved[0] = syncline.Int(8)
	gold := []Condition{{"tier", Equals, []syncline.Value{syncline.Text("gold")}}}
	active := []Condition{{"active", Equals, []syncline.Value{syncline.Bool(true)}}}
	asleep := row()
	asleep[3] = syncline.Bool(false)
	for _, tt := range []struct {
		name   string
		spec   Spec
		op     syncline.Op
		before []syncline.Value
		after  []syncline.Value
		want   bool
	}{
		{"another field", Spec{OnlyIfChanged: []string{"tier"}}, syncline.OpUpdated, row(), noted, true},
		{"the field", Spec{OnlyIfChanged: []string{"note", "tier"}}, syncline.OpUpdated, silver, row(), false},
		{"the same by another scale", Spec{OnlyIfChanged: []string{"credit"}}, syncline.OpUpdated, scaled(row(), "1.5"), row(), true},
		{"no before image", Spec{OnlyIfChanged: []string{"tier"}}, syncline.OpUpdated, nil, row(), false},
		{"a before image without the field", Spec{OnlyIfChanged: []string{"tier"}}, syncline.OpUpdated, key, row(), false},
		{"not sent, so not changed", Spec{OnlyIfChanged: []string{"tier"}}, syncline.OpUpdated, nil, unsent, true},
		{"nothing is watched", Spec{}, syncline.OpUpdated, row(), row(), false},
		{"another key", Spec{OnlyIfChanged: []string{"tier"}}, syncline.OpUpdated, row(), moved, false},
		{"created", Spec{OnlyIfChanged: []string{"tier"}}, syncline.OpCreated, nil, unsent, false},
		{"snapshot", Spec{OnlyIfChanged: []string{"tier"}}, syncline.OpSnapshot, nil, unsent, false},
		{"repair", Spec{OnlyIfChanged: []string{"tier"}}, syncline.OpRepair, nil, unsent, false},
		{"archived", Spec{OnlyIfChanged: []string{"tier"}}, syncline.OpArchived, row(), noted, false},
		{"it matched before", Spec{OnlyIfChanged: []string{"id"}, Conditions: gold}, syncline.OpUpdated, row(), noted, true},
		{"it enters", Spec{OnlyIfChanged: []string{"tier"}, Conditions: active}, syncline.OpUpdated, asleep, row(), false},
		{"it enters by when", Spec{OnlyIfChanged: []string{"tier"}, When: "after.active"}, syncline.OpUpdated, asleep, row(), false},
		{"whether it enters is not known", Spec{OnlyIfChanged: []string{"tier"}, Conditions: active}, syncline.OpUpdated, nil, unsent, false},
	} {
		got, err := matcher(t, tt.spec).Unchanged(batch(tt.op, tt.before, tt.after, nil), 0)
		if got != tt.want || err != nil {
			t.Errorf("%s: Unchanged = %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
	m := matcher(t, Spec{OnlyIfChanged: []string{"tier"}})
	m.Watch([]int{8})
	if got, err := m.Unchanged(batch(syncline.OpUpdated, row(), noted, nil), 0); got || err != nil {
		t.Errorf("a column that decides too: Unchanged = %v, %v, want false", got, err)
	}
	r, err := Compile(Spec{OnlyIfChanged: []string{"colour"}})
	if err == nil {
		_, err = r.Bind(schema)
	}
	if syncline.CodeOf(err) != "unknown_column" {
		t.Errorf("a field that is not there: %v, want unknown_column", err)
	}
	if matcher(t, Spec{}).Watches() || !m.Watches() {
		t.Error("Watches does not tell whether something is watched")
	}
}

// unset is a row that was sent with its key only.
func unset(id int64) []syncline.Value {
	values := make([]syncline.Value, len(schema.Columns))
	for i := range values {
		values[i] = syncline.Unset
	}
	values[0] = syncline.Int(id)
	return values
}

func scaled(values []syncline.Value, credit string) []syncline.Value {
	values[2] = syncline.Decimal(credit)
	return values
}
