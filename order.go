package syncline

// Order is the place of an event among all that an object is written from, the version that nothing may go back behind.
type Order struct {
	// Epoch counts the logs that have written the object, from 1 (LogEpochs).
	Epoch uint8
	Seq   Seq
	Index int
}

// Version packs the order into one number that grows with it: 7 bits of epoch, 36 of sequence, 20 of index.
func (o Order) Version() int64 {
	return int64(o.Epoch&0x7F)<<56 | int64(o.Seq&(1<<36-1))<<20 | int64(o.Index&(1<<20-1))
}

// LogEpochs are the epochs of the logs that have written one object, by log id. The object keeps them.
type LogEpochs map[string]uint8

// maxLogEpoch is what Order.Version can carry.
const maxLogEpoch = 127

// Enter returns the log's epoch, and whether it must be stored because it is new. A log that is new to the object comes above all
// others, and so does one that others have come after, where the route begins: what it writes from now on is what the object is to
// hold. A route that only goes on has been outranked then (fatal, code "log_outranked"): everything it wrote would count as old.
func (e LogEpochs) Enter(object, log string, begins bool) (epoch uint8, changed bool, err error) {
	var last uint8
	for _, n := range e {
		last = max(last, n)
	}
	switch n, known := e[log]; {
	case known && n == last:
		return n, false, nil
	case known && !begins:
		return 0, false, Errorf(Fatal, "log_outranked", "%s has been written from another log since this route wrote it: its changes would count as older", object).
			WithFix("find out who else writes it; then begin the route anew: `syncline sync SYSTEM/ENTITY --route ROUTE`")
	case last == maxLogEpoch:
		return 0, false, Errorf(Fatal, "log_epochs_used", "%s has been written from %d logs, more than can be told apart", object, maxLogEpoch).
			WithFix("name a new object in the rule's `to`: it is filled from the source; then remove the old one")
	}
	e[log] = last + 1
	return last + 1, true, nil
}

// DamagedEpochs is the error of a Guarded whose epochs cannot be read.
func DamagedEpochs(object string, err error) error {
	return Errorf(Fatal, "epochs_damaged", "read the epochs of %s: %w", object, err).
		WithFix("find out who changed them; name a new object in the rule's `to`: it is filled from the source")
}
