package natskv

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"syncline"
)

// TestWhatIsRememberedOutlivesOtherWriters: a record that others write or remove is not taken for one that was never decided about.
func TestWhatIsRememberedOutlivesOtherWriters(t *testing.T) {
	r := newRig(t, Options{})
	kv, err := stream(t).KeyValue(t.Context(), r.bucket)
	if err != nil {
		t.Fatal(err)
	}
	decide := func(c syncline.Change, shadow string, want string) {
		t.Helper()
		told := ""
		next := r.Cursor
		next.Seq++
		_, err := r.Target.Apply(t.Context(), &syncline.Write{Changes: []syncline.Change{c}, Cursor: next, Commit: func(context.Context, syncline.Result) error { return nil },
			Decide: func(_ int, held syncline.Held) (syncline.Decision, error) {
				told = "nothing"
				if held.Values != nil {
					told = held.Values[1].Text()
				}
				told += " after " + string(held.Shadow)
				d := syncline.Decision{Op: c.Op}
				if c.Op == syncline.ChangePut {
					d.Values = c.Row.Values
				}
				if shadow != "" {
					d.Shadow = []byte(shadow)
				}
				return d, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Cursor = next; told != want { // nobody is asked about a truncate
			t.Errorf("held = %q, want %q", told, want)
		}
	}
	foreign := func(name string) {
		t.Helper()
		var err error
		if name == "" {
			err = kv.Delete(t.Context(), "c.1")
		} else {
			_, err = kv.PutString(t.Context(), "c.1", `{"id":1,"name":"`+name+`"}`)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	lasts := func(want bool) { // the copy is forgotten with the record's marker, never before it
		t.Helper()
		s, err := stream(t).Stream(t.Context(), r.stream())
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.GetLastMsgForSubject(t.Context(), r.copyOf(r.subject("c.1")))
		if err != nil {
			t.Fatal(err)
		}
		if life := m.Header.Get(jetstream.MsgTTLHeader); (life == "") != want {
			t.Errorf("the copy of what is remembered lives for %q, want for ever: %v", life, want)
		}
	}
	decide(put("c", 1, "ours", 5), "first", "nothing after ")
	lasts(true)
	foreign("theirs")
	foreign("theirs again")
	decide(put("c", 1, "ours", 6), "second", "theirs again after first")
	foreign("")
	decide(put("c", 1, "ours", 7), "third", "nothing after second")
	decide(del("c", 1, 8), "gone", "ours after third")
	lasts(false)
	foreign("back")
	decide(put("c", 1, "ours", 9), "fourth", "back after gone")
	foreign("")
	decide(truncate("c", 10), "", "")
	foreign("new")
	decide(put("c", 1, "ours", 11), "", "new after ")
	foreign("newer")
	decide(put("c", 1, "ours", 12), "", "newer after ")
}
