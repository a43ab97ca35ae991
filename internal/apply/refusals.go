package apply

import (
	"log/slog"
	"time"

	"syncline/internal/state"
)

// refusals is what the log is still to be told of records that were refused. Thousands can be within a second: the first is told at once,
// and what follows within tellEvery in one line.
type refusals struct {
	parked, failed refused
	next           time.Time
}

// refused is a number of records, and the code of the first.
type refused struct {
	records int
	code    string
}

const tellEvery = 10 * time.Second

// note takes over a commit that is in the state store. A record that is tried again and refused again was told before, until its attempts
// are used up.
func (f *refusals) note(c *state.Commit) {
	for i := range c.Park {
		switch x := &c.Park[i]; {
		case x.Status == state.StatusFailed:
			f.failed.add(x.Code)
		case x.Status == state.StatusRetrying && x.Attempts > 0:
			f.parked.add(x.Code)
		}
	}
	for i := range c.Update {
		if x := &c.Update[i]; x.Status == state.StatusFailed {
			f.failed.add(x.Code)
		}
	}
}

func (r *refused) add(code string) {
	if r.records == 0 {
		r.code = code
	}
	r.records++
}

// due returns when there is something to tell; ok is false where there is nothing.
func (f *refusals) due() (at time.Time, ok bool) {
	return f.next, f.parked.records > 0 || f.failed.records > 0
}

// tell writes what is due of the route.
func (f *refusals) tell(log *slog.Logger, route string, now time.Time) {
	if at, ok := f.due(); !ok || at.After(now) {
		return
	}
	if f.parked.records > 0 {
		log.Warn("records are refused: they wait and are tried again", "records", f.parked.records, "code", f.parked.code)
	}
	if f.failed.records > 0 {
		log.Warn("records have failed: they wait for a person", "records", f.failed.records, "code", f.failed.code,
			"fix", "`syncline tasks --status failed` shows them; correct the rule or the target, then `syncline tasks retry --status failed --route "+route+"`")
	}
	*f = refusals{next: now.Add(tellEvery)}
}
