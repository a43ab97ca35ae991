package daemon

import (
	"context"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/capture"
	"syncline/internal/config"
	"syncline/internal/state"
)

// noteMissed forgets how the routes began that count on the first copy of a source which has not begun, and which that copy would not
// be for if it began now: they are disabled, say. When they are wanted again they begin anew, with a copy of their own if need be. So
// far they have applied nothing.
func (d *Daemon) noteMissed(ctx context.Context, c *config.Config, s *source) error {
	if born, err := born(ctx, s.log); born || err != nil {
		return err
	}
	covered := make(map[string]bool)
	for _, routes := range initialRoutes(c, s.system) {
		for _, id := range routes {
			covered[id] = true
		}
	}
	routes, err := d.state.Routes(ctx)
	if err != nil {
		return err
	}
	for sl, r := range routes {
		if r.Source != s.system.Name || r.Run != apply.RunInitial || r.Cursor.Log != s.log.ID() || covered[sl.Route] {
			continue
		}
		if err := d.state.UpdateRoute(ctx, sl, func(row *state.Route) { row.Signature = "" }); err != nil {
			return err
		}
	}
	return nil
}

// born reports whether the log's source has begun: until then, it decides at each start which routes its first copy is for.
func born(ctx context.Context, log syncline.Log) (bool, error) {
	bounds, err := log.Bounds(ctx)
	if err != nil || bounds.Last == 0 {
		return false, err
	}
	e, err := entryAt(ctx, log, bounds.Last)
	if err != nil {
		return false, err
	}
	last, err := syncline.DecodeBatch(e.Data)
	if err != nil {
		return false, err
	}
	return capture.Born(last), nil
}
