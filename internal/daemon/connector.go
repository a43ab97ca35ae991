package daemon

import (
	"context"

	"github.com/nats-io/nats.go"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/config"
	"syncline/internal/natskv"
	"syncline/internal/pgsource"
	"syncline/internal/pgtarget"
	"syncline/internal/redis"
	"syncline/internal/search"
	"syncline/internal/sqlite"
	"syncline/internal/webhook"
)

// connector makes the sources and targets of one type of system.
type connector struct {
	// source returns what opens the source; nil where the type cannot be one.
	source func(d *Daemon, s *source) (func() (syncline.Source, error), error)
	// target returns what opens the target of a route; nil where the type cannot be one.
	target func(d *Daemon, r *route) openTarget
	// check looks at a target whose opening makes something; nil where opening it makes nothing.
	check func(context.Context, *config.System) []syncline.Finding
	// fit tells what would stop a rule of the route from writing the object, or what to warn of, and makes nothing; nil where every
	// record can be written.
	fit func(context.Context, *Daemon, *route, syncline.Definition) (warnings []string, err error)
}

// holdsDocuments reports whether the system's records are JSON documents.
func holdsDocuments(s *config.System) bool {
	switch s.Type {
	case config.TypeNATSKV, config.TypeSearch:
		return true
	case config.TypeRedis:
		return s.Redis.Format == config.RedisJSON
	}
	return false
}

// connectors are all types of systems there are.
var connectors = map[config.Type]connector{
	config.TypePostgres: {source: postgresSource, target: postgresTarget, fit: postgresFit},
	config.TypeSQLite:   {source: sqliteSource, target: sqliteTarget, check: sqliteCheck, fit: sqliteFit},
	config.TypeHTTP:     {source: httpSource},
	config.TypeRedis:    {target: redisTarget, fit: redisFit},
	config.TypeNATSKV:   {target: natsTarget, check: natsCheck, fit: keyedFit},
	config.TypeSearch:   {target: searchTarget, check: searchCheck, fit: keyedFit},
	config.TypeWebhook:  {target: webhookTarget},
}

// initialRoutes lists, for each entity that the first snapshot copies, the routes that it is for: those that start full.
func initialRoutes(c *config.Config, system *config.System) map[string][]string {
	routes := make(map[string][]string)
	if !system.Capture.Initial {
		return routes
	}
	for _, r := range c.Rules {
		if !r.Enabled || r.Start != config.StartFull {
			continue
		}
		for _, from := range r.From {
			if from.System == system.Name {
				routes[from.Name] = append(routes[from.Name], r.Route(system.Name))
			}
		}
	}
	return routes
}

func postgresSource(d *Daemon, s *source) (func() (syncline.Source, error), error) {
	c := s.system.Capture
	if c.Mode == config.ModePoll {
		return polledSource(d, s)
	}
	o := pgsource.Options{Name: s.system.Name, URL: s.system.Postgres.URL.Reveal(), Slot: c.Slot, Publication: c.Publication, Manage: c.Manage,
		Snapshot: "never", InitialRoutes: s.initial, Heartbeat: c.Heartbeat, Logged: s.logged, Logger: d.log}
	if c.Initial {
		o.Snapshot = "initial"
	}
	for _, e := range c.Entities {
		o.Entities = append(o.Entities, pgsource.Entity{Name: e.Name, Table: e.Table, Key: e.Key, Version: e.Version})
	}
	return func() (syncline.Source, error) {
		o := o
		o.Gap = s.gap.Load()
		return pgsource.New(o)
	}, nil
}

func postgresOptions(d *Daemon, r *route) pgtarget.Options {
	return pgtarget.Options{URL: r.target.Postgres.URL.Reveal(), Route: r.id, Guard: r.guarded, Shadows: r.decides,
		PostgresSource: r.source.system.Type == config.TypePostgres, Logger: d.log}
}

func postgresFit(ctx context.Context, d *Daemon, r *route, def syncline.Definition) ([]string, error) {
	return pgtarget.Fit(ctx, postgresOptions(d, r), def)
}

func postgresTarget(d *Daemon, r *route) openTarget {
	o := postgresOptions(d, r)
	return func(ctx context.Context) (syncline.Target, error) { return pgtarget.Open(ctx, o) }
}

func sqliteSource(d *Daemon, s *source) (func() (syncline.Source, error), error) {
	c := s.system.Capture
	if c.Mode == config.ModePoll {
		return polledSource(d, s)
	}
	o := sqlite.Options{Name: s.system.Name, URL: s.system.SQLite.Path, Manage: c.Manage, Entities: make(map[string]sqlite.Entity),
		Snapshot: c.Initial, InitialRoutes: s.initial, Logger: d.log}
	for _, e := range c.Entities {
		o.Entities[e.Name] = sqlite.Entity{Table: e.Table, Key: e.Key, Version: e.Version}
	}
	return func() (syncline.Source, error) {
		o := o
		o.Gap = s.gap.Load()
		return sqlite.NewSource(o), nil
	}, nil
}

func sqliteOptions(d *Daemon, r *route) sqlite.TargetOptions {
	return sqlite.TargetOptions{URL: r.target.SQLite.Path, Route: r.id, Guard: r.guarded, Logger: d.log}
}

func sqliteFit(ctx context.Context, d *Daemon, r *route, def syncline.Definition) ([]string, error) {
	return sqlite.Fit(ctx, sqliteOptions(d, r), def)
}

func sqliteTarget(d *Daemon, r *route) openTarget {
	o := sqliteOptions(d, r)
	return func(ctx context.Context) (syncline.Target, error) { return sqlite.OpenTarget(ctx, o) }
}

func sqliteCheck(ctx context.Context, sys *config.System) []syncline.Finding {
	return sqlite.CheckTarget(ctx, sys.SQLite.Path)
}

func redisObject(c *config.Redis) redis.Object {
	return redis.Object{Format: redis.Format(c.Format), KeyTemplate: c.Key, TTL: c.TTL}
}

func redisFit(_ context.Context, _ *Daemon, r *route, def syncline.Definition) ([]string, error) {
	return nil, redis.Fit(def.Object, redisObject(r.target.Redis), def.Schema)
}

// keyedFit is for targets that hold any record which has a key.
func keyedFit(_ context.Context, _ *Daemon, _ *route, def syncline.Definition) ([]string, error) {
	if len(def.Schema.Key) == 0 {
		return nil, syncline.Errorf(syncline.Fatal, "key_missing", "object %s needs records with a key", def.Object).WithFix("declare the entity's key")
	}
	return nil, nil
}

func redisTarget(d *Daemon, r *route) openTarget {
	c := r.target.Redis
	o := redis.Options{URL: c.URL.Reveal(), Route: r.id, Tombstone: r.tombstone, Objects: make(map[string]redis.Object), Logger: d.log}
	for _, rule := range r.rules {
		o.Objects[rule.To.Name] = redisObject(c)
	}
	return func(ctx context.Context) (syncline.Target, error) { return redis.Open(ctx, o) }
}

func natsTarget(d *Daemon, r *route) openTarget {
	c := r.target.NATSKV
	o := natskv.Options{Bucket: c.Bucket, Create: true, Route: r.id, Tombstone: r.tombstone, Logger: d.log}
	return func(ctx context.Context) (syncline.Target, error) {
		o := o
		if c.Embedded() {
			var err error
			if o.Conn, err = d.natsConn(); err != nil {
				return nil, err
			}
		} else {
			o.URL = c.URL.Reveal()
		}
		return natskv.Open(ctx, o)
	}
}

// natsCheck has nothing to ask about a bucket of our own server, which runs only while syncline does.
func natsCheck(ctx context.Context, sys *config.System) []syncline.Finding {
	c := sys.NATSKV
	if c.Embedded() {
		return []syncline.Finding{{Level: "ok", What: "bucket " + c.Bucket + " is kept by syncline itself"}}
	}
	return natskv.Check(ctx, natskv.Options{URL: c.URL.Reveal(), Bucket: c.Bucket, Create: true})
}

// natsConn returns the connection to our own server that all embedded buckets share.
func (d *Daemon) natsConn() (*nats.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.nats == nil {
		c, err := d.logs.Conn()
		if err != nil {
			return nil, err
		}
		d.nats = c
	}
	return d.nats, nil
}

func searchTarget(d *Daemon, r *route) openTarget {
	o := search.Options{Route: r.id, Tombstone: r.tombstone, Logger: d.log}
	for _, rule := range r.rules {
		o.Objects = append(o.Objects, rule.To.Name)
	}
	path := r.target.Search.Path
	return func(context.Context) (syncline.Target, error) {
		dir, err := d.Indexes(path)
		if err != nil {
			return nil, err
		}
		return search.OpenTarget(dir, o)
	}
}

func searchCheck(_ context.Context, sys *config.System) []syncline.Finding {
	return search.Check(sys.Search.Path)
}

// Indexes returns the directory of indexes at this path, which all its routes share.
func (d *Daemon) Indexes(path string) (*search.Directory, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if dir := d.indexes[path]; dir != nil {
		return dir, nil
	}
	dir, err := search.Open(path)
	if err != nil {
		return nil, err
	}
	d.indexes[path] = dir
	return dir, nil
}

func webhookTarget(d *Daemon, r *route) openTarget {
	c := r.target.Webhook
	o := webhook.Options{Route: r.id, URL: c.URL.Reveal(), Timeout: c.Timeout, AllowPrivate: c.AllowPrivate, Logger: d.log}
	if s := c.Secret.Reveal(); s != "" {
		o.Secrets = []string{s}
	}
	// One target serves all sessions of the route: it remembers what it delivered of a write that failed half-way.
	var opened *webhook.Target
	return func(ctx context.Context) (syncline.Target, error) {
		if opened != nil {
			return keepOpen{opened}, nil
		}
		t, err := webhook.Open(ctx, o)
		if err != nil {
			return nil, err
		}
		opened = t
		return keepOpen{t}, nil
	}
}

// keepOpen is a target that outlives the sessions of its route.
type keepOpen struct{ syncline.Target }

// Close leaves the target open.
func (keepOpen) Close() error { return nil }

// Check asks the target, which alone knows.
func (k keepOpen) Check(ctx context.Context) []syncline.Finding {
	return k.Target.(syncline.Checker).Check(ctx)
}

func pushSource(d *Daemon, s *source) (func() (syncline.Source, error), error) {
	name := s.system.Name
	return func() (syncline.Source, error) { return d.intake.Source(name) }, nil
}

func pushedEntities(c *config.Capture) []cloudevent.Entity {
	var list []cloudevent.Entity
	for _, e := range c.Entities {
		list = append(list, cloudevent.Entity{Name: e.Name, Key: e.Key, Version: e.Version})
	}
	return list
}
