package syncline

import "testing"

// TestWhole: a row lacks what somebody could have sent, not what the target computes.
func TestWhole(t *testing.T) {
	s := &Schema{Columns: []Column{{Name: "id"}, {Name: "name"}, {Name: "twice", Generated: "id * 2"}}}
	for _, test := range []struct {
		values []Value
		want   bool
	}{
		{nil, false},
		{[]Value{Int(1), Null, Int(2)}, true},
		{[]Value{Int(1), Null, Unset}, true},
		{[]Value{Int(1), Unset, Int(2)}, false},
		{[]Value{Unset, Null, Unset}, false},
	} {
		if got := (Row{s, test.values}).Whole(); got != test.want {
			t.Errorf("Whole(%v) = %t, want %t", test.values, got, test.want)
		}
	}
}
