package daemon

import (
	"slices"

	"syncline"
	"syncline/internal/config"
	"syncline/internal/pgsource"
	"syncline/internal/poll"
	"syncline/internal/sqlite"
)

// dialects are the databases that can be polled.
var dialects = map[config.Type]func(*Daemon, *config.System) (poll.Dialect, error){
	config.TypePostgres: func(d *Daemon, sys *config.System) (poll.Dialect, error) {
		return pgsource.NewPoller(sys.Name, sys.Postgres.URL.Reveal(), d.log)
	},
	config.TypeSQLite: func(_ *Daemon, sys *config.System) (poll.Dialect, error) {
		return sqlite.NewPoller(sys.Name, sys.SQLite.Path, nil), nil
	},
}

// polledSource returns what opens a source that is polled.
func polledSource(d *Daemon, s *source) (func() (syncline.Source, error), error) {
	o := poll.Options{Name: s.system.Name, Memory: d.state, Snapshot: s.system.Capture.Initial, InitialRoutes: s.initial, Logger: d.log}
	for _, e := range s.system.Capture.Entities {
		o.Entities = append(o.Entities, polledEntity(e))
	}
	return func() (syncline.Source, error) {
		o := o
		var err error
		if o.Dialect, err = dialects[s.system.Type](d, s.system); err != nil {
			return nil, err
		}
		return poll.New(o), nil
	}, nil
}

func polledEntity(e *config.Entity) poll.Entity {
	p := e.Poll
	out := poll.Entity{Name: e.Name, Table: e.Table, Query: p.Query.Reveal(), Key: e.Key, Version: e.Version, Watermark: p.Watermark, Compare: p.Compare,
		Deleted: flagOf(p.Deleted), Created: flagOf(p.Created)}
	if p.Overlap != nil {
		out.Overlap = &poll.Overlap{Time: p.Overlap.Time, Amount: p.Overlap.Amount}
	}
	return out
}

func flagOf(f *config.Flag) *poll.Flag {
	if f == nil {
		return nil
	}
	return &poll.Flag{Field: f.Field, Value: f.Value}
}

// polledAnew names the entities that are polled from another place than before, or in another order: they are read from their beginning.
func polledAnew(was, now *config.Capture) []string {
	var names []string
	for _, e := range now.Entities {
		old := was.Entity(e.Name)
		if e.Poll == nil || old == nil || old.Poll == nil {
			continue
		}
		if e.Table != old.Table || e.Poll.Query.Reveal() != old.Poll.Query.Reveal() || !slices.Equal(e.Key, old.Key) || !slices.Equal(e.Poll.Watermark, old.Poll.Watermark) {
			names = append(names, e.Name)
		}
	}
	return names
}
