package targettest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"syncline"
)

// runEvents checks a target that wants every event.
func runEvents(t *testing.T, h Harness) {
	s := customer()
	send := func(object string, id int64, text string) syncline.Change {
		c := put(object, s, syncline.Int(id), syncline.Text(text), syncline.Null)
		c.Op = syncline.ChangeSend
		return c
	}
	t.Run("each key's events arrive in order", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		var changes []syncline.Change
		for i := range 60 {
			changes = append(changes, send(o, int64(i%5), "n"))
		}
		for range 2 {
			e.applied(true, changes[:30]...)
			changes = changes[30:]
		}
		perKey := map[string][]string{}
		for _, d := range e.Deliveries() {
			perKey[d.Key] = append(perKey[d.Key], d.ID)
		}
		want := map[string][]string{}
		for i := range 60 {
			key := string(syncline.MakeKey(syncline.Int(int64(i % 5))))
			b := &syncline.Batch{Source: "src", Position: syncline.Position{Epoch: 1}, Txns: []syncline.Txn{{Commit: uint64(1 + i/30)}},
				Events: []syncline.Event{{Ordinal: uint32(i%30 + 1)}}}
			want[key] = append(want[key], b.EventID(0))
		}
		if diff := cmp.Diff(want, perKey); diff != "" {
			t.Errorf("deliveries per key (-want +got):\n%s", diff)
		}
	})
	t.Run("an event has the same id at every attempt", func(t *testing.T) {
		e := open(t, h)
		o := e.object(s)
		w := e.write(true, send(o, 1, "a"), send(o, 2, "b"))
		for range 2 {
			if _, err := e.Target.Apply(t.Context(), w); err != nil {
				t.Fatalf("Apply: %v", err)
			}
		}
		ids := map[string]int{}
		for _, d := range e.Deliveries() {
			ids[d.ID]++
		}
		if len(ids) != 2 {
			t.Errorf("ids of two events sent twice = %v, want two ids", ids)
		}
	})
	t.Run("a refused event holds back its own key only", func(t *testing.T) {
		e := open(t, h)
		if e.Refuse == nil {
			return
		}
		o := e.object(s)
		bad := send(o, 1, "bad")
		bad.Row = e.Refuse(o, bad.Row)
		res := e.apply(true, bad, send(o, 2, "x"), send(o, 1, "later"), send(o, 2, "y"))
		e.outcomes(res, syncline.OutcomeRejected, syncline.OutcomeApplied, syncline.OutcomeHeld, syncline.OutcomeApplied)
		if syncline.ClassOf(res.Rejected[0]) != syncline.Rejected || len(res.Rejected) != 1 {
			t.Errorf("rejected = %v, want one error of class rejected at 0", res.Rejected)
		}
		for _, d := range e.Deliveries() {
			if d.Key == "1" {
				t.Errorf("event %s of the held key was delivered", d.ID)
			}
		}
	})
	t.Run("a refused event holds back its record across its keys", func(t *testing.T) {
		e := open(t, h)
		if e.Refuse == nil {
			return
		}
		o := e.object(s)
		bad, move := send(o, 1, "bad"), send(o, 2, "moved")
		bad.Row, move.OldKey = e.Refuse(o, bad.Row), vals(syncline.Int(1))
		res := e.apply(true, bad, send(o, 3, "x"), move, send(o, 2, "later"), send(o, 1, "another"), send(o, 3, "y"))
		e.outcomes(res, syncline.OutcomeRejected, syncline.OutcomeApplied, syncline.OutcomeHeld, syncline.OutcomeHeld, syncline.OutcomeHeld, syncline.OutcomeApplied)
	})
}
