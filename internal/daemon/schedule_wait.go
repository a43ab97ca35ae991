package daemon

import (
	"slices"
	"strings"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/schedule"
)

// heldUp says why a sync that is under way does not get on: a source that has stopped reads nothing, and routes that have stopped take nothing of what is
// read, so that the source reads no further. "" = nothing holds it up.
func (d *Daemon) heldUp(w schedule.Work) string {
	src := d.source(w.System)
	if w.Kind != schedule.KindSync || src == nil {
		return ""
	}
	switch st := src.capture.Status(); st.State {
	case capture.StateHalted, capture.StateStopped:
		return "waits: the source " + w.System + " has stopped" + because(st.Err) + "; `syncline health` names the way out"
	case capture.StateDegraded:
		return "waits: the source " + w.System + " does not answer" + because(st.Err)
	}
	var stopped []string
	for _, r := range d.set().routes {
		if !r.reads(src, w.Entity) || len(w.To) > 0 && !slices.Contains(w.To, r.target.Name) {
			continue
		}
		st := r.apply.Status()
		if st.State != apply.RouteHalted && st.State != apply.RouteNeedsSync {
			return ""
		}
		stopped = append(stopped, r.id+" ("+syncline.CodeOf(st.Err)+")")
	}
	if len(stopped) == 0 {
		return ""
	}
	return "waits: all its routes have stopped: " + strings.Join(stopped, ", ") + "; `syncline health` names the way out"
}
