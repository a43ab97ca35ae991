package apply

import (
	"strings"

	"syncline"
	"syncline/internal/state"
)

// codeTooLarge is of tasks whose event is a stub (syncline.Event.AsStub): the record was too large for the log, and all that the
// route has of it is its key. Such a task waits for data, not for another attempt: a whole record of the key, a delete or a TRUNCATE
// makes it obsolete; what sends only some of the columns becomes a stub itself, because the others are not known.
const codeTooLarge = "row_too_large"

func tooLarge(e *syncline.Event) error {
	return syncline.Errorf(syncline.Rejected, codeTooLarge, "a record of %d bytes did not fit the log, which has its key only", e.Stub)
}

// stub plans an event that is a stub: it waits on every rule that could want it. What can be judged without the record, its
// operation and its priority, is judged before.
func (pl *planner) stub(p *plan, it item) {
	key, why := pl.parkingKey(it), "rejected"
	switch retry := len(p.retry) > 0; {
	case pl.traits.Events && pl.held(p, slot{int32(it.r), key}):
		why = "held"
	case retry && !pl.traits.Events && !isPlace(key):
		why = "reading" // an operator asks for it: the source may have a smaller record by now
	}
	pl.hold(p, it, key, why, tooLarge(it.event()))
}

// unretryable returns why another attempt at the slot cannot succeed, nil where it can: an event that was to be sent, and a row
// without a key, cannot be read again.
func (m *machine) unretryable(k *parked) error {
	x := k.head()
	if x.Code != codeTooLarge || !m.traits.Events && !isPlace(x.Key) {
		return nil
	}
	what := "the event cannot be sent"
	if !m.traits.Events {
		what = "a row without a key cannot be read again"
	}
	return syncline.Errorf(syncline.Rejected, codeTooLarge, "task %s: its record did not fit the log: %s", x.Task, what).
		WithFix("give it up: `syncline tasks cancel %s --reason TEXT`; what waits behind it goes on", x.Task)
}

// follow gives x, whose event is e, the standing that it has behind a task whose event is a stub: whole, it is tried at once; else
// it is a stub too.
func (s *settling) follow(x *state.Exception, e *syncline.Event, behind *state.Exception, stub *syncline.Event) {
	switch {
	case e.After == nil || !e.Row().Whole():
		*e = e.AsStub(int(stub.Stub))
		x.Status, x.Code, x.Class, x.Error, x.Attempts, x.NextTry = behind.Status, behind.Code, behind.Class, behind.Error, behind.Attempts, behind.NextTry
	case x.Status == state.StatusHeld:
		x.Status, x.NextTry = state.StatusRetrying, s.now
	}
}

const placePrefix = "%seq,"

// isPlace reports whether the key is a placeKey: the percent sign of a record's key stands before hexadecimal digits or N.
func isPlace(k syncline.Key) bool { return strings.HasPrefix(string(k), placePrefix) }
