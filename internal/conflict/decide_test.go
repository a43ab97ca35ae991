package conflict

import (
	"strings"
	"testing"

	"syncline"
)

// with returns the row with some columns changed: "tier=gold stock=5 tags=[1]".
func with(values []syncline.Value, changes string) []syncline.Value {
	out := append([]syncline.Value(nil), values...)
	for _, change := range strings.Fields(changes) {
		name, text, _ := strings.Cut(change, "=")
		at := schema.Index(name)
		switch {
		case at < 0: // "gone"
		case text == "null":
			out[at] = syncline.Null
		case text == "unset":
			out[at] = syncline.Unset
		default:
			out[at] = syncline.Raw(schema.Columns[at].Kind, []byte(strings.ReplaceAll(text, "_", " ")))
		}
	}
	return out
}

func TestDecide(t *testing.T) {
	first := with(row("Ann", "basic"), "stock=10 tags=[1]")
	data := func(s Strategy) Policy { return Policy{Detect: []Detector{Data}, Strategy: s} }
	merge := func(policy FieldPolicy) Policy {
		return Policy{Detect: []Detector{Data}, Strategy: Merge, Fields: map[string]Field{"name": {Policy: policy}, "stock": {Policy: policy}, "tags": {Policy: policy}}}
	}
	for _, tt := range []struct {
		name   string
		policy Policy
		// theirs is what somebody at the target makes of the first row; "gone" removes it. ours is what the second event says, "gone"
		// a removal. The first event is of second 10, the second of second 20.
		theirs, ours string
		version      int64
		// want is what the target has in the end, as changes of the first row, and the action of the conflict, "" = none.
		want   string
		action Action
	}{
		{"nobody else", data(Manual), "", "tier=gold", 0, "tier=gold", ""},
		{"another field", data(Manual), "name=Bea", "tier=gold", 0, "name=Bea tier=gold", ""},
		{"a field that the event does not change", data(Manual), "tier=silver", "", 0, "tier=silver", ""},
		{"the same change", data(Manual), "tier=gold", "tier=gold", 0, "tier=gold", ""},
		{"a column that was not sent", data(Manual), "tier=silver", "tier=unset name=Bea", 0, "tier=silver name=Bea", ""},
		{"both, by hand", data(Manual), "tier=silver", "tier=gold", 0, "tier=silver", Review},
		{"both, without a time of theirs", data(LastWriteWins), "tier=silver", "tier=gold", 0, "tier=gold", Overwrite},
		{"both, theirs is older", Policy{Detect: []Detector{Data}, Strategy: LastWriteWins, TimeField: "changed_at"},
			"tier=silver changed_at=2024-01-01_00:00:15+00", "tier=gold", 0, "tier=gold changed_at=2024-01-01_00:00:15+00", Overwrite},
		{"both, theirs is newer", Policy{Detect: []Detector{Data}, Strategy: LastWriteWins, TimeField: "changed_at"},
			"tier=silver changed_at=2024-01-01_00:00:25+00", "tier=gold", 0, "tier=silver changed_at=2024-01-01_00:00:25+00", Skip},
		{"both, theirs is newer, and another field of ours", Policy{Detect: []Detector{Data}, Strategy: LastWriteWins, TimeField: "changed_at"},
			"tier=silver changed_at=2024-01-01_00:00:25+00", "tier=gold name=Bea", 0, "tier=silver name=Bea changed_at=2024-01-01_00:00:25+00", Skip},
		{"the target comes first", Policy{Detect: []Detector{Data}, Strategy: SourcePriority, Sources: []string{"warehouse", "crm"}}, "tier=silver", "tier=gold", 0, "tier=silver", Skip},
		{"the source comes first", Policy{Detect: []Detector{Data}, Strategy: SourcePriority, Sources: []string{"crm"}}, "tier=silver", "tier=gold", 0, "tier=gold", Overwrite},
		{"merge without a policy for the field", data(Merge), "tier=silver", "tier=gold", 0, "tier=silver", Review},
		{"sum", merge(FieldSum), "stock=7", "stock=15", 0, "stock=12", Merged},
		{"union", merge(FieldUnion), "tags=[1,2]", "tags=[1,3]", 0, "tags=[1,_2,_3]", Merged},
		{"union of words", merge(FieldUnion), "name=Ann,Bea", "name=Ann,Cho", 0, "name=Ann,_Bea,_Cho", Merged},
		{"ours", merge(FieldOurs), "stock=7", "stock=15", 0, "stock=15", Overwrite},
		{"theirs", merge(FieldTheirs), "stock=7", "stock=15", 0, "stock=7", Skip},
		{"some of each", Policy{Detect: []Detector{Data}, Strategy: Merge, Fields: map[string]Field{"name": {Policy: FieldOurs}, "stock": {Policy: FieldTheirs}}},
			"name=Bea stock=7", "name=Cho stock=8", 0, "name=Cho stock=7", Merged},
		{"expression", Policy{Detect: []Detector{Data}, Strategy: Merge, Fields: map[string]Field{"stock": {Policy: FieldExpression, Expression: "max(ours.stock, theirs.stock)"}}},
			"stock=70", "stock=15", 0, "stock=70", Merged},
		{"removed by us, changed by them, by hand", data(Manual), "tier=silver", "gone", 0, "tier=silver", Review},
		{"removed by us, changed by them, ours", Policy{Detect: []Detector{Data}, Strategy: Manual, Deleted: Ours}, "tier=silver", "gone", 0, "gone", Overwrite},
		{"removed by us, changed by them, theirs", Policy{Detect: []Detector{Data}, Strategy: Manual, Deleted: Theirs}, "tier=silver", "gone", 0, "tier=silver", Skip},
		{"removed by us, left alone by them", data(Manual), "", "gone", 0, "gone", ""},
		{"removed by them, changed by us, by hand", data(Manual), "gone", "tier=gold", 0, "gone", Review},
		{"removed by them, changed by us, ours", Policy{Detect: []Detector{Data}, Strategy: Manual, Deleted: Ours}, "gone", "tier=gold", 0, "tier=gold", Overwrite},
		{"removed by them, left alone by us", data(Manual), "gone", "", 0, "gone", ""},
		{"removed by both", data(Manual), "gone", "gone", 0, "gone", ""},
		{"an older version", Policy{Detect: []Detector{Version}, Strategy: Manual, VersionField: "rev"}, "tier=silver rev=9", "tier=gold", 5, "tier=silver rev=9", Review},
		{"a newer version", Policy{Detect: []Detector{Version}, Strategy: Manual, VersionField: "rev"}, "tier=silver rev=4", "tier=gold rev=5", 5, "tier=gold rev=5", ""},
		{"the same version", Policy{Detect: []Detector{Version}, Strategy: Manual, VersionField: "rev"}, "tier=silver rev=5", "tier=gold rev=5", 5, "tier=silver rev=5", ""},
		{"an older version, ours all the same", Policy{Detect: []Detector{Version}, Strategy: SourcePriority, Sources: []string{"crm"}, VersionField: "rev"},
			"tier=silver rev=9", "tier=gold rev=5", 5, "tier=gold rev=5", Overwrite},
		{"a business rule", Policy{Detect: []Detector{Business}, Strategy: Manual, Business: []Condition{{"closed stays", `theirs.tier == "closed" && ours.tier != "closed"`}}},
			"tier=closed", "name=Bea", 0, "tier=closed", Review},
		{"a business rule that does not hold", Policy{Detect: []Detector{Business}, Strategy: Manual, Business: []Condition{{"closed stays", `theirs.tier == "closed" && ours.tier != "closed"`}}},
			"tier=open", "name=Bea", 0, "name=Bea", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := &target{tb: t, r: resolver(t, tt.policy)}
			to.apply(said("crm", 1, 10), first, nil)
			if to.row = with(to.row, tt.theirs); tt.theirs == "gone" {
				to.row = nil
			}
			ev := said("crm", 2, 20)
			ev.Version = tt.version
			ours := with(first, strings.ReplaceAll(tt.ours, "gone", ""))
			if tt.ours == "gone" {
				ours = nil
			}
			before := show(to.row)
			v := to.apply(ev, ours, nil)
			want := show(with(first, tt.want))
			if tt.want == "gone" {
				want = "nothing"
			}
			if got := show(to.row); got != want {
				t.Errorf("the target has %s, want %s", got, want)
			}
			var action Action
			if v.Conflict != nil {
				action = v.Conflict.Action
			}
			if action != tt.action {
				t.Errorf("action = %q (%+v), want %q", action, v.Conflict, tt.action)
			}
			switch {
			case tt.action == Review && (v.Outcome != syncline.OutcomeConflict || show(to.row) != before):
				t.Errorf("what a person has to decide is %d, and the target has %s after %s", v.Outcome, show(to.row), before)
			case tt.action != "" && tt.action != Review && show(v.Conflict.Result) != show(to.row):
				t.Errorf("the record says %s, the target has %s", show(v.Conflict.Result), show(to.row))
			case tt.action != Review:
				if again := to.apply(ev, ours, nil); again.Outcome != syncline.OutcomeStale {
					t.Errorf("the same event again = %d, want stale", again.Outcome)
				}
			}
		})
	}
}

// What both sides made stays theirs too: the next change of ours does not write over what they added.
func TestWhatBothMadeIsMadeAgain(t *testing.T) {
	for _, tt := range []struct {
		policy                              FieldPolicy
		theirs, second, third, fourth, want string
	}{
		{FieldSum, "stock=7", "stock=15", "stock=16", "stock=20", "stock=17"},
		{FieldUnion, "tags=[1,2]", "tags=[1,3]", "tags=[1,3,4]", "tags=[1,3,4,5]", "tags=[1,_2,_3,_4,_5]"},
		{FieldTheirs, "name=Bea", "name=Cho", "name=Dan", "name=Eve", "name=Bea"},
		{FieldExpression, "stock=70", "stock=15", "stock=16", "stock=17", "stock=70"},
	} {
		t.Run(string(tt.policy), func(t *testing.T) {
			f := Field{Policy: tt.policy}
			if tt.policy == FieldExpression {
				f.Expression = "max(ours.stock, theirs.stock)"
			}
			to := &target{tb: t, r: resolver(t, Policy{Detect: []Detector{Data}, Strategy: Merge, Fields: map[string]Field{"name": f, "stock": f, "tags": f}})}
			if tt.policy == FieldExpression {
				to.r = resolver(t, Policy{Detect: []Detector{Data}, Strategy: Merge, Fields: map[string]Field{"stock": f}})
			}
			first := with(row("Ann", "basic"), "stock=10 tags=[1]")
			to.apply(said("crm", 1, 10), first, nil)
			to.row = with(to.row, tt.theirs)
			for i, change := range []string{tt.second, tt.third, tt.fourth} {
				to.apply(said("crm", i+2, 20+i), with(first, change), nil)
			}
			if got, want := show(to.row), show(with(first, tt.want)); got != want {
				t.Errorf("the target has %s, want %s", got, want)
			}
		})
	}
}

func TestWithoutABase(t *testing.T) {
	for side, want := range map[Side]string{"": "gold", Ours: "gold", Theirs: "silver", Ask: "silver"} {
		to := &target{tb: t, r: resolver(t, Policy{Detect: []Detector{Data}, Strategy: Manual, NoBase: side})}
		to.row = row("Ann", "silver")
		v := to.apply(said("crm", 1, 1), row("Ann", "gold"), nil)
		if got := to.row[2].Text(); got != want || (v.Outcome == syncline.OutcomeConflict) != (side == Ask) {
			t.Errorf("no_base %q: %s (%d), want %s", side, got, v.Outcome, want)
		}
		told := &target{tb: t, r: to.r, row: row("Ann", "silver")}
		if told.apply(said("crm", 1, 1), row("Ann", "gold"), row("Ann", "silver")); told.row[2].Text() != "gold" {
			t.Errorf("no_base %q: the event tells what it replaces, and the target has %s", side, told.row[2].Text())
		}
	}
}

func TestSettle(t *testing.T) {
	first := row("Ann", "basic")
	for _, tt := range []struct {
		name   string
		choice Choice
		want   string
	}{
		{"overwrite", Choice{Action: Overwrite}, "gold"},
		{"skip", Choice{Action: Skip}, "silver"},
		{"merge", Choice{Action: Merged, Values: row("Ann", "platinum")}, "platinum"},
	} {
		to := &target{tb: t, r: resolver(t, Policy{Detect: []Detector{Data}, Strategy: Manual})}
		to.apply(said("crm", 1, 10), first, nil)
		to.row = with(to.row, "tier=silver")
		ev, ours := said("crm", 2, 20), with(first, "tier=gold")
		review := to.apply(ev, ours, nil)
		tt.choice.State = review.Conflict.State
		settle := func() Verdict {
			v, err := to.r.Settle(&ev, ours, syncline.Held{Values: to.row, Shadow: to.shadow}, tt.choice)
			if err != nil {
				t.Fatal(err)
			}
			to.do(v)
			return v
		}
		to.row = with(to.row, "name=Zoe")
		if v := settle(); v.Outcome != syncline.OutcomeConflict || to.row[2].Text() != "silver" || v.Conflict.Note == "" {
			t.Errorf("%s of a record that has changed since = %d, %+v", tt.name, v.Outcome, v.Conflict)
		}
		to.row = with(to.row, "name=Ann")
		v := settle()
		if got := to.row[2].Text(); got != tt.want || v.Outcome == syncline.OutcomeConflict || v.Conflict.Action != tt.choice.Action {
			t.Errorf("%s = %s (%d), want %s", tt.name, got, v.Outcome, tt.want)
		}
		if again := settle(); again.Outcome != syncline.OutcomeStale {
			t.Errorf("%s again = %d, want stale", tt.name, again.Outcome)
		}
		// What was decided is no conflict again until somebody says something new.
		if next := to.apply(said("crm", 3, 30), with(first, "tier=gold name=Cho"), nil); next.Conflict != nil || to.row[2].Text() != tt.want {
			t.Errorf("%s, then another field: %+v, %s", tt.name, next.Conflict, to.row[2].Text())
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, tt := range []struct {
		p    Policy
		want string
	}{
		{Policy{}, "needs detect"},
		{Policy{Detect: []Detector{Data}}, `no strategy ""`},
		{Policy{Detect: []Detector{Data}, Strategy: SourcePriority}, "needs sources"},
		{Policy{Detect: []Detector{Business}, Strategy: Manual}, "go together"},
		{Policy{Detect: []Detector{Data}, Strategy: Merge, Fields: map[string]Field{"a": {Policy: "best"}}}, `field a: there is no policy "best"`},
		{Policy{Detect: []Detector{Data}, Strategy: Merge, Fields: map[string]Field{"a": {Policy: FieldExpression, Expression: "after.a"}}}, "field a: unknown name after"},
		{Policy{Detect: []Detector{Business}, Strategy: Manual, Business: []Condition{{"x", "ours."}}}, "business rule x"},
	} {
		if _, err := Compile(tt.p, "w"); err == nil || !strings.Contains(err.Error(), tt.want) || syncline.CodeOf(err) != "bad_conflict" {
			t.Errorf("Compile(%+v) = %v, want %s", tt.p, err, tt.want)
		}
	}
	c, err := Compile(Policy{Detect: []Detector{Data}, Strategy: LastWriteWins, TimeField: "changed"}, "w")
	if err != nil {
		t.Fatal(err)
	}
	typed := *schema
	typed.Columns = append([]syncline.Column(nil), schema.Columns...)
	typed.Columns[0].Type = "bigint"
	if _, err := c.Bind(&typed); syncline.CodeOf(err) != "unknown_column" {
		t.Errorf("Bind = %v, want unknown_column", err)
	}
	summed, err := Compile(Policy{Detect: []Detector{Data}, Strategy: Merge, Fields: map[string]Field{"name": {Policy: FieldSum}}}, "w")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := summed.Bind(&typed); syncline.CodeOf(err) != "bad_conflict" {
		t.Errorf("Bind of a sum of texts = %v, want bad_conflict", err)
	}
}

// TestATimeThatIsText decides as a time does: documents, SQLite and pushed records have no other.
func TestATimeThatIsText(t *testing.T) {
	texts := *schema
	texts.Columns = append([]syncline.Column(nil), schema.Columns...)
	at := texts.Index("changed_at")
	texts.Columns[at].Kind = syncline.KindText
	c, err := Compile(Policy{Detect: []Detector{Data}, Strategy: LastWriteWins, TimeField: "changed_at"}, "w")
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Bind(&texts)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"2024-01-01T00:00:15Z": "gold", "2024-01-01T00:00:25.123456789Z": "silver", "2024-01-01 00:00:25": "silver", "2024-01-01T02:00:25+02:00": "silver",
		"2024-01-02": "silver", "soon": "gold", "infinity": "gold",
	} {
		first := with(row("Ann", "basic"), "changed_at=null")
		to := &target{tb: t, r: r}
		to.apply(said("crm", 1, 10), first, nil)
		to.row = with(to.row, "tier=silver")
		to.row[at] = syncline.Text(text)
		v := to.apply(said("crm", 2, 20), with(first, "tier=gold"), nil)
		if got := to.row[2].Text(); got != want || v.Conflict == nil || (v.Conflict.Note == "") != (text[0] == '2') {
			t.Errorf("theirs of %s, ours of second 20: %s (%+v), want %s", text, got, v.Conflict, want)
		}
	}
}
