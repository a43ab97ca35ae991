package capture

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/expression"
	"syncline/internal/memlog"
)

var people = &syncline.Schema{Entity: "person", Table: "person", Key: []int{0}, Version: -1, Columns: []syncline.Column{
	{Name: "id", Kind: syncline.KindInt, Type: "bigint"}, {Name: "tier", Kind: syncline.KindText, Type: "text"},
	{Name: "archived_at", Kind: syncline.KindText, Type: "text"}, {Name: "merged_into", Kind: syncline.KindInt, Type: "bigint"},
}}

func program(t *testing.T, text string) *expression.Program {
	t.Helper()
	p, err := expression.Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// person is a row: "-" was not sent, "" is null.
func person(id int64, tier, archived, into string) []syncline.Value {
	text := func(s string, make func(string) syncline.Value) syncline.Value {
		switch s {
		case "-":
			return syncline.Unset
		case "":
			return syncline.Null
		}
		return make(s)
	}
	number := func(s string) syncline.Value { return syncline.Raw(syncline.KindInt, []byte(s)) }
	return []syncline.Value{syncline.Int(id), text(tier, syncline.Text), text(archived, syncline.Text), text(into, number)}
}

func TestDerive(t *testing.T) {
	d := Derivation{Archived: program(t, `after.archived_at != nil`), Merged: program(t, `after.merged_into != nil`),
		Into: []*expression.Program{program(t, `after.merged_into`)}, Priority: program(t, `after.tier == "gold" ? "high" : after.tier == "vip" ? "critical" : after.tier == "odd" ? "urgent" : nil`)}
	for _, tt := range []struct {
		name string
		e    syncline.Event
		want string // type, surviving key, priority
		why  string // of a failure
	}{
		{"nothing to derive", syncline.Event{Op: syncline.OpUpdated, After: person(1, "", "", "")}, "updated normal", ""},
		{"archived", syncline.Event{Op: syncline.OpUpdated, After: person(1, "", "2026", "")}, "archived normal", ""},
		{"created archived", syncline.Event{Op: syncline.OpCreated, After: person(1, "gold", "2026", "")}, "archived high", ""},
		{"read by a run", syncline.Event{Op: syncline.OpSnapshot, After: person(1, "", "2026", "")}, "archived normal", ""},
		{"read again", syncline.Event{Op: syncline.OpRepair, After: person(1, "vip", "", "")}, "repair critical", ""},
		{"merged", syncline.Event{Op: syncline.OpUpdated, After: person(1, "", "2026", "7")}, "merged 7 normal", ""},
		{"merged into itself", syncline.Event{Op: syncline.OpUpdated, After: person(1, "gold", "2026", "1")}, "updated high", "type_when: derive_failed: the record was merged, and `into` is its own key"},
		{"a delete has the priority of what goes", syncline.Event{Op: syncline.OpDeleted, Before: person(1, "vip", "2026", "")}, "deleted critical", ""},
		{"a delete with its key only", syncline.Event{Op: syncline.OpDeleted, Before: person(1, "-", "-", "-")}, "deleted normal", "unsent tier"},
		{"a column that was not sent", syncline.Event{Op: syncline.OpUpdated, After: person(1, "gold", "-", "")}, "updated high", "unsent archived_at"},
		{"no name of a priority", syncline.Event{Op: syncline.OpUpdated, After: person(1, "odd", "", "")}, "updated normal", "priority: derive_failed: a priority is low, normal, high or critical"},
		{"the publisher's priority stays", syncline.Event{Op: syncline.OpUpdated, After: person(1, "vip", "", ""), Meta: &syncline.Meta{ID: "x", Priority: syncline.PriorityLow}}, "updated low", ""},
		{"the publisher's type stays", syncline.Event{Op: syncline.OpArchived, After: person(1, "", "", "7")}, "archived normal", ""},
		{"emptied", syncline.Event{Op: syncline.OpTruncated}, "truncated normal", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var why string
			dr := newDeriver(map[string]Derivation{"person": d}, func(entity string, err error) {
				if why = err.Error(); strings.Contains(why, expression.ErrUnset.Error()) {
					why = "unsent " + why[strings.LastIndex(why, " ")+1:]
				}
			})
			tt.e.Schema = people
			shared := tt.e.Meta
			b := &syncline.Batch{Source: "crm", Txns: []syncline.Txn{{Commit: 1}}, Events: []syncline.Event{tt.e}}
			dr.batch(b)
			e := &b.Events[0]
			got := e.Op.String()
			if e.Meta != nil && e.Meta.Into != "" {
				got += " " + string(e.Meta.Into)
			}
			if got += " " + e.Priority().String(); got != tt.want {
				t.Errorf("derived %q, want %q", got, tt.want)
			}
			if why != tt.why && (tt.why == "" || !strings.HasPrefix(why, tt.why)) {
				t.Errorf("failure %q, want %q", why, tt.why)
			}
			if shared != nil && e.Meta != nil && e.Meta.ID != shared.ID {
				t.Errorf("the event's id is %q, want %q", e.Meta.ID, shared.ID)
			}
		})
	}
}

// TestDerivedBeforeTheLog: the log has what was derived, its directory the priority; a failure is told once, counted, and loses nothing.
func TestDerivedBeforeTheLog(t *testing.T) {
	log := memlog.New(memlog.Options{}).Log("crm")
	s := system(5)
	c := newCapture(t, log, s)
	var said strings.Builder
	c.log = slog.New(slog.NewTextHandler(&said, nil))
	c.derive = newDeriver(map[string]Derivation{"customer": {Archived: program(t, `after.id == 2`), Priority: program(t, `after.id == 3 ? "critical" : after.id < 2 ? 7 : nil`)}}, c.underived)
	run(t, c)
	change(t, c, s, 5)
	var got []string
	critical := false
	for seq := syncline.Seq(1); seq <= c.Status().Seq; seq++ {
		r, err := log.Read(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		entry, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dir, err := syncline.DecodeDirectory(entry.Data)
		if err != nil {
			t.Fatal(err)
		}
		critical = critical || dir.MaxPriority == syncline.PriorityCritical
		b, err := syncline.DecodeBatch(entry.Data)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Events {
			got = append(got, b.Events[i].Op.String()+" "+b.Events[i].Priority().String())
		}
	}
	if diff := cmp.Diff([]string{"created normal", "created normal", "archived normal", "created critical", "created normal"}, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if !critical {
		t.Error("no directory has the critical event")
	}
	st := c.Status()
	if len(st.Underived) != 1 || st.Underived[0].Failed != 2 || len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], "failed on 2 events") {
		t.Errorf("status = %+v, want two failures and a warning", st)
	}
	if n := strings.Count(said.String(), "an expression failed"); n != 1 {
		t.Errorf("the log is told %d times, want once:\n%s", n, said.String())
	}
}

func TestDerivationThatDoesNotFit(t *testing.T) {
	for text, d := range map[string]Derivation{
		"unknown_column": {Priority: program(t, `after.rank`)},
		"derive_failed":  {Merged: program(t, `true`), Into: []*expression.Program{program(t, `1`), program(t, `2`)}},
	} {
		if err := d.Fit(people); syncline.CodeOf(err) != text {
			t.Errorf("Fit = %v, want %s", err, text)
		}
	}
	var failures []string
	dr := newDeriver(map[string]Derivation{"person": {Archived: program(t, `after.rank > 1`)}}, func(_ string, err error) { failures = append(failures, syncline.CodeOf(err)) })
	b := &syncline.Batch{Txns: []syncline.Txn{{}}}
	for i := range 3 {
		b.Events = append(b.Events, syncline.Event{Op: syncline.OpCreated, Schema: people, Ordinal: uint32(i), After: person(int64(i), "", "", "")})
	}
	dr.batch(b)
	if diff := cmp.Diff([]string{"unknown_column", "unknown_column", "unknown_column"}, failures); diff != "" || b.Events[2].Op != syncline.OpCreated {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}
