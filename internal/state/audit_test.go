package state

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

func callAt(id string, at time.Time) *Call {
	return &Call{ID: id, At: at, Who: "ada", Token: "t1", Role: "operator", Address: "192.0.2.7", Operation: "cancel-task",
		Details: map[string]string{"id": "x"}, Reason: "twice"}
}

func TestAuditLog(t *testing.T) {
	s := openNew(t)
	first, second, third := callAt("a", noon), callAt("b", noon.Add(time.Minute)), callAt("c", noon.Add(2*time.Minute))
	second.Who, second.Operation, second.Details = "bob", "start-sync", nil
	third.Status, third.Code = 403, "forbidden"
	for _, c := range []*Call{first, second, third} {
		must(t, s.AddCall(t.Context(), c))
	}
	must(t, s.EndCall(t.Context(), "a", 204, "", noon.Add(time.Second)))
	must(t, s.EndCall(t.Context(), "a", 500, "internal", noon.Add(time.Hour))) // repeated: the first result stands
	ended := noon.Add(time.Second)
	first.Status, first.Ended = 204, &ended
	third.Ended = &third.At
	for _, test := range []struct {
		name string
		f    CallFilter
		want []*Call
	}{
		{"all, the newest first", CallFilter{}, []*Call{third, second, first}},
		{"of one", CallFilter{Who: "ada"}, []*Call{third, first}},
		{"an operation", CallFilter{Operation: "start-sync"}, []*Call{second}},
		{"since", CallFilter{Since: second.At}, []*Call{third, second}},
		{"until", CallFilter{Until: second.At}, []*Call{first}},
		{"refused", CallFilter{Refused: true}, []*Call{third}},
	} {
		got, next, err := s.Calls(t.Context(), test.f)
		must(t, err)
		var want []Call
		for _, c := range test.want {
			want = append(want, *c)
		}
		if diff := cmp.Diff(want, got); diff != "" || next != "" {
			t.Errorf("%s: next %q (-want +got):\n%s", test.name, next, diff)
		}
	}
	var ids []string
	for after := ""; ; {
		page, next, err := s.Calls(t.Context(), CallFilter{Limit: 2, After: after})
		must(t, err)
		for _, c := range page {
			ids = append(ids, c.ID)
		}
		if after = next; next == "" {
			break
		}
	}
	if got := strings.Join(ids, ""); got != "cba" {
		t.Errorf("pages = %s, want cba", got)
	}
}

// TestAuditLogIsAppendOnly: no statement changes or removes a call that is to be kept, whoever writes it.
func TestAuditLogIsAppendOnly(t *testing.T) {
	s := openNew(t)
	now := time.Now()
	for i, age := range []time.Duration{0, 23 * time.Hour, 48 * time.Hour, 72 * time.Hour} {
		c := callAt(fmt.Sprint(i), now.Add(-age))
		c.Status = 200
		must(t, s.AddCall(t.Context(), c))
	}
	refused := func(when string) {
		t.Helper()
		for _, statement := range []string{"UPDATE audit SET who = 'nobody'", "UPDATE audit_result SET status = 200", "DELETE FROM audit", "DELETE FROM audit_result",
			"DELETE FROM audit WHERE id = '0'", "REPLACE INTO audit_result SELECT n, 0, 200, '' FROM audit",
			"REPLACE INTO audit SELECT n, id, at, 'nobody', token, role, address, operation, details, reason FROM audit",
			"REPLACE INTO audit SELECT n + 100, id, at, 'nobody', token, role, address, operation, details, reason FROM audit"} {
			if _, err := s.writer.exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s %s = %v, want it refused", statement, when, err)
			}
		}
	}
	refused("before a trim")
	if err := s.TrimAudit(t.Context(), now.Add(-23*time.Hour)); syncline.CodeOf(err) != "audit_retained" {
		t.Errorf("TrimAudit of the last day = %v, want audit_retained", err)
	}
	must(t, s.TrimAudit(t.Context(), now.Add(-47*time.Hour)))
	list, _, err := s.Calls(t.Context(), CallFilter{})
	if err != nil || len(list) != 2 || list[0].Status != 200 || list[1].Status != 200 {
		t.Errorf("after the trim: %+v, %v, want the two younger ones", list, err)
	}
	refused("after a trim")
}
