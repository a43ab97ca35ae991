package apply

// pace is how much of what may be refused a target is given at once. It stands still at the first refusal and feels its way from there: a
// batch that is taken whole doubles it, one that is refused shrinks it to what would have been taken. So a refusal costs about as much as the
// good records between two bad ones, however large a batch may be, and where one bad record follows the other it costs one attempt.
type pace struct {
	// limit is the number of events that a batch may have which the target could refuse; 0 = no refusal is near.
	limit int
	// once: the limit is there only because the batch was refused merged; taken in commit order, it was no bad record.
	once bool
}

const (
	// fewest is what the limit does not fall below where the target names what it refuses: to write that many again costs less than the
	// commits that smaller batches would take.
	fewest = 32
	// mostCondemned bounds the refused records of a batch, which are planned anew at each attempt at what follows them.
	mostCondemned = 128
	// mostPlanned bounds all tasks of a batch near a refusal, for the same reason.
	mostPlanned = 1000
)

// careful reports whether batches are small and in commit order.
func (p *pace) careful() bool { return p.limit > 0 }

// merged takes over that a batch of this many events was refused, which were merged: the same ones are tried in commit order.
func (p *pace) merged(tried int) { p.limit, p.once = max(tried, 1), true }

// named takes over that the event after this many others was refused.
func (p *pace) named(before int) {
	to := max(before, fewest)
	if p.careful() {
		to = min(to, p.limit)
	}
	p.limit, p.once = to, false
}

// unnamed takes over that one of this many events was refused.
func (p *pace) unnamed(tried int) { p.limit, p.once = max(tried/2, 1), false }

// taken takes over that a batch was taken: clean, if no record of it had been refused before. At most the pace is this fast.
func (p *pace) taken(clean bool, most int) {
	switch {
	case !p.careful() || !clean:
	case p.once:
		*p = pace{}
	default:
		p.limit = min(2*p.limit, most)
	}
}
