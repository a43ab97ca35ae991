package daemon

import (
	"syncline"
	"syncline/internal/config"
	"syncline/internal/httppoll"
)

// httpSource returns what opens a source of type http: one whose events are pushed, or a service that is asked.
func httpSource(d *Daemon, s *source) (func() (syncline.Source, error), error) {
	if s.system.Capture.Mode == config.ModePoll {
		return serviceSource(d, s)
	}
	return pushSource(d, s)
}

// service is a client of a polled service, and what it was made of.
type service struct {
	of     *config.Service
	client *httppoll.Client
}

// client returns the client of a service that everybody who asks it shares: how often it may be asked, when it wants to be left alone, and
// what is known of its columns is the same for all of them.
func (d *Daemon) client(sys *config.System) (*httppoll.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.services[sys.Name]; ok && config.Same(known.of, sys.Service) {
		return known.client, nil
	}
	c, err := httppoll.NewClient(serviceClient(sys), d.log)
	if err == nil && d.services != nil { // there is none where the configuration is only checked
		d.dropClientLocked(sys.Name)
		d.services[sys.Name] = service{sys.Service, c}
	}
	return c, err
}

// dropClients forgets the clients of services that the set does not ask, or not in that way, and what they log in with.
func (d *Daemon) dropClients(but *set) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, known := range d.services {
		if s := but.source(name); s == nil || !config.Same(known.of, s.system.Service) {
			d.dropClientLocked(name)
		}
	}
}

// dropClientLocked forgets a client. A source that still uses it can go on: only connections that are idle end.
func (d *Daemon) dropClientLocked(name string) {
	if known, ok := d.services[name]; ok {
		known.client.Close()
		delete(d.services, name)
	}
}

// serviceSource returns what opens a service.
func serviceSource(d *Daemon, s *source) (func() (syncline.Source, error), error) {
	client, err := d.client(s.system)
	if err != nil {
		return nil, err
	}
	c := s.system.Capture
	o := httppoll.SourceOptions{Name: s.system.Name, Client: client, Memory: d.state, Snapshot: c.Initial, InitialRoutes: s.initial, Logger: d.log}
	for _, e := range c.Entities {
		o.Entities = append(o.Entities, listedEntity(e))
	}
	return func() (syncline.Source, error) { return httppoll.NewSource(o), nil }, nil
}

func serviceClient(sys *config.System) httppoll.Options {
	s := sys.Service
	return httppoll.Options{Name: sys.Name, URL: s.URL.Reveal(), Headers: listedParams(s.Headers), Rate: s.Rate, Timeout: s.Timeout, MaxAnswer: s.MaxAnswer,
		AllowPrivate: s.AllowPrivate, Auth: httppoll.Auth{Bearer: s.Auth.Bearer.Reveal(), User: s.Auth.User, Password: s.Auth.Password.Reveal(),
			Header: s.Auth.Header, Value: s.Auth.Value.Reveal()}}
}

func listedEntity(e *config.Entity) httppoll.Entity {
	p, l := e.Poll, e.Listing
	out := httppoll.Entity{Name: e.Name, Key: e.Key, Version: e.Version, Records: l.Records, Compare: p.Compare,
		List: httppoll.Request{Path: l.Path.Reveal(), Method: l.Method, Query: listedParams(l.Query), Headers: listedParams(l.Headers), Body: l.Body.Reveal()},
		Page: httppoll.Paging{By: httppoll.By(l.Page.By), Param: l.Page.Param, First: l.Page.First, Size: l.Page.Size, SizeParam: l.Page.SizeParam,
			Next: l.Page.Next, More: l.Page.More, Max: l.Page.Max},
		Overlap: httppoll.DefaultOverlap, Deleted: flagOf(p.Deleted), Created: flagOf(p.Created)}
	if len(p.Watermark) > 0 {
		out.Watermark = p.Watermark[0]
	}
	switch {
	case p.Overlap != nil:
		out.Overlap = httppoll.Overlap{Time: p.Overlap.Time, Amount: p.Overlap.Amount}
	case !p.Compare:
		out.Overlap = httppoll.Overlap{}
	}
	if l.Get != nil {
		out.Get, out.GetRecord = &httppoll.Request{Path: l.Get.Path.Reveal(), Query: listedParams(l.Get.Query)}, l.Get.Record
	}
	return out
}

func listedParams(list []*config.Param) []httppoll.Param {
	var out []httppoll.Param
	for _, p := range list {
		out = append(out, httppoll.Param{Name: p.Name, Text: p.Text.Reveal()})
	}
	return out
}
