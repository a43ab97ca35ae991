package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"syncline/internal/ops"
)

const (
	// lookEvery is how often is looked at what was resumed. What has worked for lookCalm works: what stops again does that at its first step.
	lookEvery = 200 * time.Millisecond
	lookCalm  = time.Second
	// A source that has halted stays in that state while it opens, so that it is given time. One that goes on behind a gap makes a slot
	// first, which waits for the transactions that are open.
	lookLong   = 5 * time.Second
	lookBehind = 20 * time.Second
)

// standing is how a source or route is that is to be resumed.
type standing struct {
	Name  string     `json:"name"`
	State string     `json:"state"`
	Error *ops.Fault `json:"error,omitempty"`
}

// works reports whether there is nothing to resume. What is paused waits for somebody else.
func (s *standing) works() bool {
	switch s.State {
	case ops.RouteHalted, ops.RouteNeedsSync, ops.RouteDegraded, ops.RouteStarting:
		return false
	}
	return true
}

func (s *standing) stopped() bool { return s.State == ops.RouteHalted || s.State == ops.RouteNeedsSync }

// tell says how it is, why and what helps.
func (s *standing) tell(w io.Writer) {
	text, fix := "", ""
	if s.Error != nil {
		text, fix = cmp.Or(s.Error.Text, s.Error.Code), s.Error.Fix
	}
	switch {
	case s.stopped():
		fmt.Fprintf(w, "%s has stopped again, or is not mended (%s): %s\n", s.Name, s.State, text) //nolint:errcheck // talk
	case s.State == ops.RouteDegraded:
		fmt.Fprintf(w, "%s is not answered yet, and tries on: %s\n", s.Name, text) //nolint:errcheck // talk
	case s.State == ops.RouteStarting:
		fmt.Fprintf(w, "%s is starting; see `syncline status`\n", s.Name) //nolint:errcheck // talk
		return
	default:
		what := "works"
		if s.State == ops.RoutePaused || s.State == ops.RouteDisabled {
			what = "is " + s.State
		}
		fmt.Fprintf(w, "%s %s\n", s.Name, what) //nolint:errcheck // talk
		return
	}
	if fix != "" {
		fmt.Fprintf(w, "  fix: %s\n", fix) //nolint:errcheck // talk
	}
}

// standings are those of a route, or of a source and the routes that write to its system, in the order of the configuration.
func standings(ctx context.Context, c *ops.Client, name string, system bool) ([]standing, error) {
	routes, err := c.Routes(ctx)
	if err != nil {
		return nil, err
	}
	if !system { // one that there is not, the command says better
		for i := range routes {
			if r := &routes[i]; r.ID == name {
				return []standing{{r.ID, r.State, r.Error}}, nil
			}
		}
		return nil, nil
	}
	systems, err := c.Systems(ctx)
	if err != nil {
		return nil, err
	}
	var list []standing
	for i := range systems {
		if s := &systems[i]; s.Name == name && s.Log != nil {
			list = append(list, standing{name, s.State, s.Error})
		}
	}
	for i := range routes {
		if r := &routes[i]; r.Target == name && len(r.Pauses) == 0 {
			list = append(list, standing{r.ID, r.State, r.Error})
		}
	}
	return list, nil
}

// awaited follows what was resumed until it is known what came of it.
type awaited struct {
	long  time.Duration
	since time.Time // when all of it began to work; zero = it does not
}

// look takes over how everything is, long after the command, and tells whether that is the answer.
func (a *awaited) look(now time.Time, after time.Duration, list []standing) bool {
	for i := range list {
		if !list[i].works() {
			a.since = time.Time{}
			return after >= a.long
		}
	}
	if a.since.IsZero() {
		a.since = now
	}
	return now.Sub(a.since) >= lookCalm || after >= a.long
}

// await looks at what was resumed until it works, or time is up.
func await(ctx context.Context, long time.Duration, look func() ([]standing, error)) ([]standing, error) {
	a, began := awaited{long: long}, time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case now := <-tick.C:
			list, err := look()
			if err != nil || a.look(now, now.Sub(began), list) {
				return list, err
			}
		}
	}
}
