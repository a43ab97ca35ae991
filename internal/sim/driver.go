package sim

import (
	"syncline"
	"syncline/internal/apply"
	"syncline/internal/memlog"
)

// driver steps a route through its log, as apply.Route.Run does with goroutines.
type driver struct {
	from    *intake
	options apply.Options
	// placed is called when the route has begun for the first time. Its target is not to forget that.
	placed func()

	route   *apply.Route
	session *apply.Session
	reader  *memlog.Reader
	begun   bool
	begins  int // sessions
}

// prepare makes the route known, as the start of a process does.
func (d *driver) prepare() error {
	if d.route != nil {
		return nil
	}
	o := d.options
	o.Log = d.from.log
	var err error
	if d.route, err = apply.New(o); err != nil {
		return err
	}
	return d.route.Prepare(d.from.ctx, o.Start == apply.StartEarliest)
}

// take begins a session, if there is none, and gives it an entry or two, at the end of a run more.
func (d *driver) take() error {
	if err := d.prepare(); err != nil {
		return err
	}
	if d.session == nil {
		s, err := d.route.Begin(d.from.ctx)
		if err != nil {
			return err
		}
		d.session = s
		d.begins++
		if !d.begun {
			d.begun = true
			d.placed()
		}
		if d.reader, err = d.from.log.Reader(s.Next()); err != nil {
			return err
		}
	}
	few := 3
	if d.from.resting {
		few = 30
	}
	for range 1 + d.from.rnd.IntN(few) {
		if !d.session.Wants() {
			break
		}
		if err := feed(d.session, d.reader); err != nil {
			return err
		}
	}
	return nil
}

// feed gives the session the next entry of the log, if there is one.
func feed(s *apply.Session, from *memlog.Reader) error {
	e, ok, err := from.TryNext()
	if err != nil || !ok {
		return err
	}
	b, err := syncline.DecodeBatch(e.Data)
	if err != nil {
		return err
	}
	return s.Take(apply.Fed{Seq: e.Seq, Time: e.Time, Batch: b, Size: len(e.Data), More: e.More})
}

// apply carries out what the route decides, at times while it reads on and plans the next batch.
func (d *driver) apply() error {
	before, waited := d.session.Cursor(), d.session.Parked()
	var beside func() error
	if d.from.rnd.IntN(2) == 0 {
		beside = func() error {
			for range d.from.rnd.IntN(4) {
				if !d.session.Wants() {
					break
				}
				if err := feed(d.session, d.reader); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if err := d.session.StepBeside(d.from.ctx, beside); err != nil {
		return err
	}
	if after := d.session.Cursor(); after != before || waited != d.session.Parked() {
		d.from.note("%s at %d.%d, %d parked", d.options.ID, after.Seq, after.Index, d.session.Parked())
	}
	return nil
}

// close is the end of the process, for the route.
func (d *driver) close() {
	if d.session != nil {
		_ = d.session.Close()
	}
	d.session, d.reader, d.route = nil, nil, nil
}
