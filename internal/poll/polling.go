package poll

import (
	"context"
	"slices"

	"syncline"
)

// pageBytes is about how much of values a batch has.
const pageBytes = 1 << 20

// polling is a poll under way. A crash begins it anew at the progress that the log has.
type polling struct {
	run    run
	entity *Entity
	table  Table
	// began is the progress that the poll began at, before the highest watermark that had been seen by then, horizon what was asked
	// after that.
	began   Progress
	before  []string
	horizon Horizon
	// left are the ranges that are still to be read, the first of them behind after. The last one is new, and moves the watermark.
	left   []Range
	after  *Place
	events int
}

// nextPoll begins the poll that was asked for first, of an entity that may be polled.
func (s *Source) nextPoll() {
	for i := range s.checkpoint.Runs {
		if r := &s.checkpoint.Runs[i]; r.Kind == syncline.RunPoll && (s.ready(r.Entity) || s.entities[r.Entity] == nil) {
			s.poll = &polling{run: *r, entity: s.entities[r.Entity]}
			return
		}
	}
}

// pollStep reads the next page of the poll. It returns no batch where nothing in it is an event.
func (s *Source) pollStep(ctx context.Context) (*syncline.Batch, error) {
	p := s.poll
	b, err := s.pollPage(ctx, p)
	if b == nil && err == nil && len(p.left) > 0 {
		return nil, nil
	}
	if b != nil {
		return b, nil
	}
	s.poll = nil
	return s.ended(&p.run, p.events, err)
}

// beginPoll asks for what has to be known before the first page is read.
func (s *Source) beginPoll(ctx context.Context, p *polling) (err error) {
	if p.entity == nil {
		return syncline.Errorf(syncline.Rejected, "entity_unknown", "source %s has no entity %s any more", s.opt.Name, p.run.Entity)
	}
	if p.table, err = s.table(ctx, p.entity); err != nil {
		return err
	}
	if len(p.entity.Watermark) == 0 {
		p.left = []Range{{ByKey: true}}
		return nil
	}
	p.began = s.checkpoint.Entities[p.entity.Name].Progress
	if p.horizon, err = s.opt.Dialect.Horizon(ctx); err != nil {
		return err
	}
	if p.began.lost(p.horizon) {
		s.log.Warn("the database has another history than it had: the entity is read from its beginning", "entity", p.entity.Name)
		p.began = Progress{}
	}
	if p.before = p.began.Mark; p.before == nil {
		if p.before, err = p.table.Newest(ctx, p.horizon.Clock); err != nil {
			return err
		}
	}
	if p.horizon, err = s.opt.Dialect.Horizon(ctx); err != nil {
		return err
	}
	again, fresh := p.began.ranges(p.table.Transactions())
	if p.began.Mark != nil {
		p.left = append(p.left, again)
	}
	p.left = append(p.left, fresh)
	return s.watch(ctx, p)
}

// watch says what an operator should know of the entity.
func (s *Source) watch(ctx context.Context, p *polling) error {
	nulls, err := p.table.Nulls(ctx)
	if err != nil {
		return err
	}
	var list []syncline.Finding
	if nulls {
		list = append(list, syncline.Finding{Code: "watermark_null", What: "there are records without a watermark, which polls do not see", Fix: "fill it in and make it NOT NULL"})
	}
	if p.horizon.Blind != "" {
		list = append(list, syncline.Finding{Code: "poll_blind", What: p.horizon.Blind})
	}
	s.warn(p.entity.Name, list)
	return nil
}

// pollPage reads the next page; nil = nothing in it is an event, and where p.left is empty there is no other.
func (s *Source) pollPage(ctx context.Context, p *polling) (*syncline.Batch, error) {
	if p.table == nil {
		if err := s.beginPoll(ctx, p); err != nil {
			return nil, err
		}
	}
	if len(p.left) == 0 {
		return nil, nil
	}
	ask := p.left[0]
	ask.After, ask.Rows, ask.Bytes = p.after, s.opt.PageRows, pageBytes
	page, err := p.table.Read(ctx, ask)
	if err != nil {
		return nil, err
	}
	rd := s.readerOf(p.entity, p.table)
	events, seen, err := s.compare(ctx, rd, page.Rows)
	if err != nil {
		return nil, err
	}
	if n := len(page.Rows); n > 0 {
		p.after = &page.Rows[n-1].Place
	}
	fresh := len(p.left) == 1
	if !page.More {
		p.left, p.after = p.left[1:], nil
	}
	if fresh && len(p.entity.Watermark) > 0 {
		s.advance(p, rd, page.Rows)
	}
	if len(events) == 0 {
		return nil, nil
	}
	p.events += len(events)
	if err := s.note(ctx, p.entity.Name, seen); err != nil {
		return nil, err
	}
	return s.seal(s.stream(events))
}

// advance moves the watermark to the last of the rows that is not ahead of the clock. What stood at the beginning of the poll stays where
// none is.
func (s *Source) advance(p *polling, rd *reader, rows []Row) {
	state := s.checkpoint.Entities[p.entity.Name]
	mark := state.Progress.Mark
	at := rd.schema.Index(p.entity.Watermark[0])
	for i := range slices.Backward(rows) {
		if at < 0 || !Ahead(rows[i].Values[at], p.horizon.Clock) {
			mark = rows[i].Place.Mark
			break
		}
	}
	state.Progress = p.began.Reached(p.horizon, p.before, mark)
}

// compare makes events of rows, and says what is to be noted of them.
func (s *Source) compare(ctx context.Context, rd *reader, rows []Row) (events []syncline.Event, seen []Seen, err error) {
	now := make([]Seen, len(rows))
	var known map[syncline.Key]Seen
	for i := range rows {
		now[i] = rd.saw(rows[i].Values)
	}
	if rd.entity.Compare {
		keys := make([]syncline.Key, len(rows))
		for i := range now {
			keys[i] = now[i].Key
		}
		if known, err = s.opt.Memory.Known(ctx, s.opt.Name, rd.entity.Name, keys); err != nil {
			return nil, nil, err
		}
	}
	for i := range rows {
		was, is := known[now[i].Key]
		ev, ok := rd.event(rows[i].Values, now[i], was, is)
		if ok {
			events = append(events, ev)
		}
		if rd.entity.Compare && (ok || !is || was.Hash == nil) {
			seen = append(seen, now[i])
			known[now[i].Key] = now[i]
		}
	}
	return events, seen, nil
}
