package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"syncline"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/gap"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// byPolicy is who declares a gap where no person does.
const byPolicy = "policy"

// gapCodes are why a source has halted that can go on behind a gap.
var gapCodes = []string{"slot_missing", "slot_lost", "slot_ahead", "source_behind", "source_changed", "publication_late", "checkpoint_unknown", "source_gap"}

// loadGap finds out what the source's log goes on without. Whether that is behind it, the log's end says.
func (d *Daemon) loadGap(ctx context.Context, s *source) error {
	list, err := d.state.Gaps(ctx, s.system.Name, time.Time{})
	if err != nil {
		return err
	}
	known, err := d.state.KnowsLog(ctx, s.system.Name, s.log.ID())
	if err != nil {
		return err
	}
	for i := range list { // the newest first
		if list[i].Route == "" && !known {
			return d.state.UpdateGap(ctx, list[i].ID, ofAnotherLog)
		}
		if list[i].Route == "" {
			s.gap.Store(d.gapOf(s, &list[i], gap.Until(&list[i], time.Now())))
			return nil
		}
	}
	return nil
}

// ofAnotherLog has no log go on behind the gap: the one that it was declared in was replaced, and positions are counted anew. By its epoch, the new
// log would end before the gap, and its source would be dropped as soon as it is opened again.
func ofAnotherLog(g *state.Gap) {
	if g.From = (syncline.Position{}); g.Status == state.GapDeclared {
		g.Status, g.Next = state.GapOpen, time.Time{}
	}
}

// gapOf is the gap as the source is told of it. Where a slot was released because the log is full, a new one would fill up as the old one did: it
// waits for room in the log. A gap that an operator has accepted does not: the log may have room, only not for the slowest of its routes.
func (d *Daemon) gapOf(s *source, g *state.Gap, after time.Time) *syncline.Gap {
	id := g.ID
	var ready func(context.Context) error
	if g.Reason == walBudgetReason {
		ready = func(ctx context.Context) error {
			err := d.crowded(ctx, s)
			if err != nil {
				d.relieve(s)
			}
			return err
		}
	}
	return &syncline.Gap{Ready: ready, Epoch: g.From.Epoch, After: after,
		Begin: func(ctx context.Context, p syncline.Position) error {
			return d.state.UpdateGap(ctx, id, func(g *state.Gap) { g.From = p })
		},
		End: func(ctx context.Context, p syncline.Position) error {
			return d.state.UpdateGap(ctx, id, func(g *state.Gap) {
				if g.To = p; g.Status == state.GapDeclared {
					g.Status, g.Next = state.GapOpen, time.Time{}
				}
			})
		}}
}

// declareGap notes, durably, that the source goes on without what its log lacks, and has it do so: it is closed, whatever it has in hand,
// and opened anew behind the gap. After is when it may begin its stream again.
func (d *Daemon) declareGap(ctx context.Context, s *source, reason, by string, after time.Time) error {
	last, err := lastBatch(ctx, s.log)
	if err != nil {
		return err
	}
	if last == nil {
		return syncline.Errorf(syncline.Rejected, "gap_unneeded", "the log of %s is empty: there is nothing that it could lack", s.system.Name).
			WithFix("read why the source has halted, and what its fix is: `syncline status`")
	}
	if now := s.gap.Load(); now.Declared(last.Position) {
		s.capture.Resume()
		return nil
	}
	g := state.Gap{ID: "gap-" + uuid.NewString(), Source: s.system.Name, Reason: reason, By: by, Status: state.GapDeclared, From: last.Position, Next: after}
	g.From.Epoch = max(g.From.Epoch, 1)
	if err := d.state.AddGap(ctx, g); err != nil {
		return err
	}
	d.log.Error("changes of the source are given up: it goes on behind a gap, and its records are read again", "source", s.system.Name, "code", reason, "by", by,
		"from", g.From.String(), "gap", g.ID)
	s.gap.Store(d.gapOf(s, &g, after))
	s.capture.Drop()
	return nil
}

// lastBatch is the log's end; nil where it is empty.
func lastBatch(ctx context.Context, log syncline.Log) (*syncline.Batch, error) {
	bounds, err := log.Bounds(ctx)
	if err != nil || bounds.Last == 0 {
		return nil, err
	}
	e, err := entryAt(ctx, log, bounds.Last)
	if err != nil {
		return nil, err
	}
	return syncline.DecodeBatch(e.Data)
}

// AcceptGap has a source that has halted because its stream cannot be continued go on behind a gap.
func (e engine) AcceptGap(ctx context.Context, name string) error {
	e.changing.RLock()
	defer e.changing.RUnlock()
	if e.set().config.System(name) == nil {
		return noSuch("system_not_found", "system", name, names{e.set()}.systems())
	}
	s := e.source(name)
	if s == nil || s.system.Capture.Mode != config.ModeCDC {
		return syncline.Errorf(syncline.Rejected, "gap_unneeded", "%s has no stream of changes that could have a gap", name).
			WithFix("`syncline resume --system %s` has it try again", name)
	}
	st := s.capture.Status()
	code := syncline.CodeOf(st.Err)
	if st.State != capture.StateHalted || !slices.Contains(gapCodes, code) {
		return syncline.Errorf(syncline.Rejected, "gap_unneeded", "%s has not halted because of changes that are missing: it is %s%s", name, st.State, because(st.Err)).
			WithFix("`syncline resume --system %s` has it try again; nothing is given up", name)
	}
	return e.declareGap(ctx, s, code, ops.CallerName(ctx), time.Time{})
}

// sourceGap shows the newest gap of a source that is not closed, or of a route; nil where there is none.
func sourceGap(open []state.Gap, source, route string) *ops.DeclaredGap {
	for i := len(open) - 1; i >= 0; i-- {
		g := &open[i]
		if g.Source != source || g.Route != route {
			continue
		}
		out := &ops.DeclaredGap{ID: g.ID, Status: g.Status, Reason: g.Reason, By: g.By, Since: g.Created, From: g.From.String(), Attempts: g.Attempts, Error: g.Error}
		if g.To.Epoch > 0 {
			out.To = g.To.String()
		}
		if g.Route != "" {
			out.From, out.To = "", ""
			out.FromSeq, out.ToSeq = uint64(g.FromSeq), uint64(g.ToSeq)
		}
		if g.Status != state.GapFilling && !gap.Due(g, time.Now()) {
			next := g.Next
			out.Next = &next
		}
		return out
	}
	return nil
}
