package poll

// Work is a kind of what a source has to do.
type Work uint8

const (
	// WorkNone: nothing waits.
	WorkNone Work = iota
	// WorkKeys answers for single records.
	WorkKeys
	// WorkLook looks for what is new.
	WorkLook
	// WorkRest reads whole entities: copies and sweeps.
	WorkRest
)

// Turns decides which kind of work is next. Routes wait for single records, so they go first, and what is new before the rest. But either
// can be asked for as fast as it is done: each leaves one step to what comes after it, a look only once it is over.
type Turns struct {
	keys, look bool // what was done last, and what was but for single records
}

// Next returns the kind of the next step, of those that wait. begun: the look is under way.
func (t *Turns) Next(keys, look, begun, rest bool) Work {
	switch {
	case keys && !(t.keys && (look || rest)):
		t.keys = true
		return WorkKeys
	case look && (begun || !rest || !t.look):
		t.keys, t.look = false, true
		return WorkLook
	case rest:
		t.keys, t.look = false, false
		return WorkRest
	}
	return WorkNone
}
