package daemon

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"syncline/internal/state"
)

const (
	// noticeLook is how often is looked for new conflicts while anything is committed.
	noticeLook = time.Second
	// noticeEvery bounds how often is told of them: what comes in between is told together.
	noticeEvery = 10 * time.Second
)

// newConflicts are those of one rule that a person has to decide.
type newConflicts struct {
	Rule string
	// New have come to wait since the last notice; 0 in the first one after a start. Waiting are all.
	New, Waiting int64
}

// notices finds out which conflicts have come to wait for a person. They are read from the changes of tasks in the state store, behind those
// that were told: it holds no route up, and none is left out while it is busy.
type notices struct {
	store *state.Store
	every time.Duration
	after int64 // the last change that was looked at
	fresh map[string]int64
}

// notices begins with what changes from now on.
func (d *Daemon) notices(ctx context.Context) (*notices, error) {
	_, last, err := d.state.TaskEventBounds(ctx)
	return &notices{store: d.state, every: noticeEvery, after: last, fresh: make(map[string]int64)}, err
}

// run gives tell, until ctx ends, first what waits already and then what comes to wait, rule by rule. It is where whoever is to be told of
// new conflicts is told. What cannot be read is read later.
func (n *notices) run(ctx context.Context, tell func([]newConflicts)) {
	watch, stop := n.store.Watch()
	defer stop()
	pace := time.NewTicker(noticeLook)
	defer pace.Stop()
	if list, err := n.list(ctx, true); err == nil && len(list) > 0 {
		tell(list)
	}
	var next time.Time // nothing is told before
	for news := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-watch.C:
			news = true
			continue
		case <-pace.C:
		}
		if news && n.look(ctx) == nil {
			news = false
		}
		if now := time.Now(); len(n.fresh) > 0 && !now.Before(next) {
			if list, err := n.list(ctx, false); err == nil {
				tell(list)
				clear(n.fresh)
				next = now.Add(n.every)
			}
		}
	}
}

// look counts the conflicts that have come to wait since it looked last.
func (n *notices) look(ctx context.Context) error {
	const page = 1000
	_, last, err := n.store.TaskEventBounds(ctx)
	for err == nil && n.after < last {
		var list []state.TaskEvent
		if list, err = n.store.TaskEvents(ctx, state.EventFilter{Status: state.TaskConflict}, n.after, page); err != nil {
			break
		}
		for i := range list {
			n.fresh[wholeRule(list[i].Rule)]++
			n.after = list[i].N
		}
		if len(list) < page {
			n.after = max(n.after, last)
		}
	}
	return err
}

// list is what is counted of each rule, or of all that have something waiting, with how many wait now.
func (n *notices) list(ctx context.Context, all bool) (list []newConflicts, err error) {
	open, err := n.store.OpenConflicts(ctx)
	if err != nil {
		return nil, err
	}
	waiting := make(map[string]int64)
	for part, count := range open {
		waiting[wholeRule(part)] += count
	}
	rules := maps.Keys(n.fresh)
	if all {
		rules = maps.Keys(waiting)
	}
	for _, rule := range slices.Sorted(rules) {
		list = append(list, newConflicts{Rule: rule, New: n.fresh[rule], Waiting: waiting[rule]})
	}
	return list, nil
}

// wholeRule is the rule of a task, which may be its part for one of several entities.
func wholeRule(part string) string {
	rule, _, _ := strings.Cut(part, "/")
	return rule
}

// tellConflicts tells of conflicts that wait for a person: the log, and the alerts, which look at once.
func (d *Daemon) tellConflicts(list []newConflicts) {
	d.logConflicts(list)
	note(d.alerting.look)
}

// logConflicts tells the log of conflicts that wait for a person.
func (d *Daemon) logConflicts(list []newConflicts) {
	for _, c := range list {
		d.log.Warn("conflicts wait for a person", "rule", c.Rule, "new", c.New, "waiting", c.Waiting,
			"fix", "`syncline conflicts --rule "+c.Rule+"` shows them")
	}
}
