package apply

// pace is how much of what may be refused a target is given at once. It slows down at the first refusal and feels its way from there: a
// batch that is taken doubles it, one that is refused halves it, but not below twice of what came before the refused event. So a batch
// reaches mostly from one bad record to the next, however large it may be: a refusal costs what stands between two of them, and one commit.
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
	to := max(2*before, fewest)
	if p.careful() && !p.once {
		to = min(max(to, p.limit/2), p.limit)
	}
	p.limit, p.once = to, false
}

// unnamed takes over that one of this many events was refused.
func (p *pace) unnamed(tried int) { p.limit, p.once = max(tried/2, 1), false }

// taken takes over that a batch was taken with this many events that the target could have refused. Never are more than most given at once.
func (p *pace) taken(tries, most int) {
	switch {
	case p.once:
		*p = pace{}
	case p.careful() && tries >= p.limit:
		p.limit = min(2*p.limit, most)
	}
}
