package daemon

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/expression"
	"syncline/internal/ops"
	"syncline/internal/state"
)

// estimateTime bounds how long a source may take to tell about how many records there are to read.
const estimateTime = 3 * time.Second

// routesTo returns the routes of the entity that are named, each by itself or by the system that it writes to; nil for no names.
func (e engine) routesTo(src *source, entity string, to []string) ([]string, error) {
	var ids []string
	for _, name := range to {
		found := false
		for _, r := range e.set().routes {
			if (r.id == name || r.target.Name == name) && r.reads(src, entity) {
				found = true
				if !slices.Contains(ids, r.id) {
					ids = append(ids, r.id)
				}
			}
		}
		if !found {
			known := names{e.set()}.reading(src, entity)
			for _, r := range e.set().routes {
				if r.reads(src, entity) && !slices.Contains(known, r.target.Name) {
					known = append(known, r.target.Name)
				}
			}
			return nil, noSuch("unknown_route", fmt.Sprintf("target or route that reads %s/%s with the name", src.system.Name, entity), name, known)
		}
	}
	return ids, nil
}

// someOnly reports whether only a part of the entity's records is asked for.
func someOnly(req *ops.SyncRequest) bool { return req.Where != "" || req.FromKey != "" }

// checkSync refuses what does not go together.
func checkSync(req *ops.SyncRequest) error {
	chosen := someOnly(req) || req.Rate > 0
	switch {
	case len(req.To) > 0 && len(req.Routes) > 0:
		return syncline.Errorf(syncline.Rejected, "sync_contradictory", "a sync has either targets (to) or routes").WithFix("name routes under `to` as well")
	case chosen && (len(req.Keys) > 0 || req.Kind == "incremental" || req.Kind == "sweep"):
		return syncline.Errorf(syncline.Rejected, "sync_contradictory", "where, from_key and rate are for a sync of all records, and neither for one of named keys nor for one that asks for what is new").
			WithFix("leave the keys out, or where, from_key and rate")
	}
	return nil
}

// checkSome refuses a condition that does not fit the entity, and parts of a table whose copy replaces everything. It is left to the run where the
// source cannot tell its columns.
func (d *Daemon) checkSome(ctx context.Context, src *source, req *ops.SyncRequest) error {
	var where *expression.Program
	if req.Where != "" {
		var err error
		if where, err = capture.CompileWhere(req.Where); err != nil {
			return err
		}
	}
	schema, err := d.schemaOf(ctx, src, req.Entity)
	if schema == nil || err != nil {
		return err
	}
	if len(schema.Key) == 0 {
		return syncline.Errorf(syncline.Rejected, "sync_keyless", "%s/%s has no key: a sync of it replaces everything that the targets hold of it, so that it cannot be of some records",
			req.Source, req.Entity).WithFix("leave out where and from_key, or give the table a primary key")
	}
	if req.FromKey != "" {
		if err := syncline.CheckKeys(req.Entity, []syncline.Key{syncline.Key(req.FromKey)}, len(schema.Key)); err != nil {
			return err
		}
	}
	if where == nil {
		return nil
	}
	if _, err := where.Bind(schema, schema); err != nil {
		return syncline.Errorf(syncline.Rejected, "where_invalid", "the condition of the sync does not fit the columns of %s/%s: %w", req.Source, req.Entity, err).
			WithFix("write an expression over the columns of the source's table, which is true or false")
	}
	return nil
}

// asked opens nothing: it calls ask with a source that is only asked, and closes it.
func (d *Daemon) asked(src *source, ask func(syncline.Source) error) error {
	open, err := connectors[src.system.Type].source(d, src)
	if err != nil {
		return err
	}
	s, err := open()
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // it was only asked
	return ask(s)
}

// schemaOf returns what rows of the entity look like now, nil where the source does not tell.
func (d *Daemon) schemaOf(ctx context.Context, src *source, entity string) (schema *syncline.Schema, err error) {
	err = d.asked(src, func(s syncline.Source) error {
		describer, ok := s.(syncline.Describer)
		if !ok {
			return nil
		}
		all, err := describer.Describe(ctx)
		if at := slices.IndexFunc(all, func(one *syncline.Schema) bool { return one.Entity == entity }); at >= 0 {
			schema = all[at]
		}
		return err
	})
	return schema, err
}

// estimate is about how many records there are to read, 0 where that is not known.
func (d *Daemon) estimate(ctx context.Context, src *source, run *syncline.Run) int64 {
	if run.Kind == syncline.RunKeys {
		return int64(len(run.Keys))
	}
	if run.From != "" {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, estimateTime)
	defer cancel()
	var n int64
	err := d.asked(src, func(s syncline.Source) (err error) {
		if sizer, ok := s.(syncline.Sizer); ok {
			n, err = sizer.Size(ctx, run.Entity)
		}
		return err
	})
	if err != nil {
		d.log.Debug("size of an entity is not known", "source", src.system.Name, "entity", run.Entity, "err", err)
	}
	return max(n, 0)
}

// applied returns the entry of the source's log below which the slowest of the routes has applied everything. Routes that have stopped are not
// waited for while another works: their part of a run waits in the log. Where none works the run waits, for the log would be filled with rows
// that are old once somebody takes them.
func (d *Daemon) applied(stream *stream, entity string, only []string) syncline.Seq {
	s := d.set()
	if s == nil {
		return math.MaxUint64
	}
	working, others := syncline.Seq(math.MaxUint64), syncline.Seq(math.MaxUint64)
	for _, r := range s.routes {
		if r.source.stream != stream || !r.wants(entity, only) {
			continue
		}
		if st := r.apply.Status(); st.State == apply.RouteRunning {
			working = min(working, st.Cursor.Seq)
		} else {
			others = min(others, st.Cursor.Seq)
		}
	}
	if working != math.MaxUint64 {
		return working
	}
	return others
}

// wants reports whether the route applies what a run of the entity for these routes brings; none = all.
func (rt *route) wants(entity string, only []string) bool {
	if len(only) > 0 && !slices.Contains(only, rt.id) {
		return false
	}
	return slices.ContainsFunc(rt.compiled, func(r apply.Rule) bool { return r.Entity == entity })
}

func (e engine) Sync(ctx context.Context, id string) (state.RunRow, error) {
	return e.state.Run(ctx, id)
}

func (e engine) SyncProgress(row state.RunRow) (p ops.Progress) {
	src := e.source(row.Source)
	if src == nil {
		return p
	}
	if !row.Over() {
		p.Rate = src.capture.RunRate(row.ID)
	}
	if row.Rows == 0 || row.Seq == 0 {
		return p
	}
	for _, r := range e.set().routes {
		if r.source.stream != src.stream || !r.wants(row.Entity, row.Routes) {
			continue
		}
		if st := r.apply.Status(); st.Cursor.Seq <= row.Seq {
			s := string(st.State)
			if st.State == apply.RouteStopped {
				s = ops.RouteHalted
			}
			p.Behind = append(p.Behind, ops.BehindRoute{Route: r.id, State: s})
		}
	}
	return p
}

func (e engine) SteerSync(ctx context.Context, id, action string, want ops.Steering) (state.RunRow, error) {
	e.changing.RLock()
	defer e.changing.RUnlock()
	row, err := e.state.Run(ctx, id)
	if err != nil {
		return row, err
	}
	src := e.source(row.Source)
	switch {
	case row.Over():
		return row, syncline.Errorf(syncline.Rejected, "sync_over", "sync %s is over: %s", id, row.Status).WithFix("start another one")
	case row.Kind != syncline.RunFull && row.Kind != syncline.RunSnapshot:
		return row, syncline.Errorf(syncline.Rejected, "sync_not_steerable", "sync %s reads what it was asked for in one go", id).WithFix("wait for it to end")
	case src == nil:
		return row, noSuch("system_not_found", "captured system", row.Source, names{e.set()}.systems())
	case row.Cancelled && action != ops.SyncCancel:
		return row, syncline.Errorf(syncline.Rejected, "sync_over", "sync %s was cancelled", id).WithFix("start another one")
	}
	st := row.Steering
	switch action {
	case ops.SyncPause:
		st.Held = true
	case ops.SyncResume:
		st.Held = false
	case ops.SyncCancel:
		st.Cancelled = true
	}
	if want.Rate != nil {
		if action != ops.SyncResume {
			return row, syncline.Errorf(syncline.Rejected, "sync_contradictory", "a rate goes with resume").WithFix("give the rate with resume")
		}
		st.Rate = *want.Rate
	}
	if st.Reason, st.By = want.Reason, ops.CallerName(ctx); action == ops.SyncResume {
		st.Reason, st.By = "", ""
	}
	if err := src.capture.Steer(ctx, id, st); err != nil {
		return row, err
	}
	e.log.Info("sync is steered", "run", id, "action", action, "reason", want.Reason, "by", ops.CallerName(ctx))
	return e.state.Run(ctx, id)
}
