package apply

import (
	"testing"

	"syncline"
	"syncline/internal/expression"
)

// notOut wants records whose notes are not "out", and needs them.
func notOut(s *syncline.Schema) (*Binding, error) {
	return &Binding{Out: s, Match: func(b *syncline.Batch, i int) (bool, error) {
		after := b.Events[i].After
		if after != nil && after[2].IsUnset() {
			return false, &expression.UnsetError{Column: "notes"}
		}
		return after == nil || after[2].Text() != "out", nil
	}}, nil
}

// TestWhatTheSourceToldIsNotAskedForAgain: a record was asked for because a condition needs it, and its answer is one that the rule
// ignores.
func TestWhatTheSourceToldIsNotAskedForAgain(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Rules[0].Left, o.Rules[0].Bind = ActionIgnore, notOut })
	b.append(created(7, "a", "in"), created(8, "a", "in"))
	b.mustDrain()
	b.append(updated(7, "b", "-"), updated(8, "b", "-"))
	b.mustDrain()
	b.wantWaiting("7 reading column_unsent", "8 reading column_unsent")
	b.reply(b.runs[0], record(7, "b", "out"))
	b.mustDrain()
	b.wantWaiting("8 reading column_unsent")
	b.append(updated(8, "c", "out"))
	b.mustDrain()
	b.wantWaiting()
	b.want(map[string]string{"7": "a/in", "8": "a/in"})
}

// TestARecordThatIsGoneStaysWhereDeletesAreIgnored: also where the source says so only when it is asked.
func TestARecordThatIsGoneStaysWhereDeletesAreIgnored(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Rules[0].Deleted, o.Rules[0].Bind = ActionIgnore, notOut })
	b.append(created(7, "a", "in"))
	b.mustDrain()
	b.append(updated(7, "b", "-"), deleted(7))
	b.mustDrain()
	b.wantWaiting("7 reading column_unsent")
	b.reply(b.runs[0], nil)
	b.mustDrain()
	b.wantWaiting()
	b.want(map[string]string{"7": "a/in"})
}
