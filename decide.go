package syncline

import "errors"

// Held is what a target holds for the key of a change when Write.Decide is asked about it.
//
// The target reads, decides and writes as one atomic step: in its transaction, with what it read locked, or record by record with
// a compare-and-set that fails where the record or its shadow is no longer what was read. It then reads and asks again, a bounded
// number of times, and gives up with a transient error (code "target_moves"). The last answer for a change is the one that counts.
//
// In an ordered Write a change sees what those before it decided. The Order of a change vetoes nothing here: what is older is
// known from the shadow. A Truncate is not asked about; it removes the object's shadows too.
type Held struct {
	// Values is the record in the terms of the change's schema, nil where there is none; one that is only kept (Mark.IsGone) is one. What the object has no column for is Unset.
	Values []Value
	// Shadow is what the last decision for the key left, nil where there was none. It belongs to the object: all routes that write
	// it see the same.
	Shadow []byte
	// Untouched: nobody has written the record since the decision that left Shadow, which was Recallable. Its values were not read. Only
	// where the Write recalls.
	Untouched bool
}

// ErrUnread is what Write.Decide answers where it cannot do without the values of an untouched record. The target reads them and asks
// again.
var ErrUnread = errors.New("the values of the record are needed")

// Decision says what to do in the place of a change.
type Decision struct {
	// Op is ChangePut, ChangeDelete, or 0: the record stays as it is.
	Op ChangeOp
	// Values are those of a Put, in the terms of the change's schema. Unset ones keep what the record has; a record that is not
	// there gets null in their place.
	Values []Value
	// Shadow is kept for the key from now on, as durably as the record and in one step with it, also where there is no record. nil =
	// nothing is kept any more. It is not kept where the Put or Delete is rejected.
	Shadow []byte
	// Recallable: Shadow tells all values that the record has then.
	Recallable bool
	// Outcome is what becomes of the change once that is done.
	Outcome Outcome
}
