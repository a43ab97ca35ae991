package poll

import (
	"context"
	"slices"
	"strings"

	"syncline"
)

// table looks at what the entity is read from, as it is now.
func (s *Source) table(ctx context.Context, e *Entity) (Table, error) {
	t, err := s.opt.Dialect.Table(ctx, e)
	if err != nil {
		return nil, err
	}
	sc := t.Schema()
	if err := s.fits(e, sc); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.keyParts[e.Name] = len(sc.Key)
	s.mu.Unlock()
	return t, nil
}

// fits says what keeps rows of the schema from being polled.
func (s *Source) fits(e *Entity, sc *syncline.Schema) error {
	if len(sc.Key) == 0 && len(e.Key) > 0 {
		return syncline.Errorf(syncline.Fatal, "poll_keyless", "source %s: entity %s: what it is read from does not have all columns of the key (%s)", s.opt.Name, e.Name,
			strings.Join(e.Key, ", ")).WithFix("correct capture.entities.%s.key", e.Name)
	}
	if len(sc.Key) == 0 {
		return syncline.Errorf(syncline.Fatal, "poll_keyless", "source %s: entity %s has no key: records that are read again could not be told apart", s.opt.Name, e.Name).
			WithFix("declare capture.entities.%s.key, or give the table a primary key", e.Name)
	}
	needs := []struct{ column, code, what string }{{e.Version, "version_missing", "version"}}
	for _, name := range e.Watermark {
		needs = append(needs, struct{ column, code, what string }{name, "watermark_missing", "watermark"})
	}
	for _, f := range []*Flag{e.Deleted, e.Created} {
		if f != nil {
			needs = append(needs, struct{ column, code, what string }{f.Field, "flag_missing", "flag"})
		}
	}
	for _, n := range needs {
		if n.column != "" && sc.Index(n.column) < 0 {
			return syncline.Errorf(syncline.Fatal, n.code, "source %s: entity %s: what it is read from has no column %s, its %s", s.opt.Name, e.Name, n.column, n.what).
				WithFix("correct capture.entities.%s", e.Name)
		}
	}
	for i, name := range e.Watermark {
		c := &sc.Columns[sc.Index(name)]
		if !grows(c.Kind) {
			return syncline.Errorf(syncline.Fatal, "watermark_type", "source %s: entity %s: column %s is of type %s, which cannot be a watermark", s.opt.Name, e.Name, name, c.Type).
				WithFix("use a column with a time or a number that grows with every change, or leave the watermark out: then every poll reads everything")
		}
		if o := e.Overlap; i == 0 && o != nil && (o.Time > 0 && !clocked(c.Kind) || o.Amount > 0 && !number(c.Kind)) {
			return syncline.Errorf(syncline.Fatal, "overlap_type", "source %s: entity %s: the overlap does not fit the watermark's column %s of type %s", s.opt.Name, e.Name, name, c.Type).
				WithFix("a time (overlap: 10s) for times, a number (overlap: 100) for numbers")
		}
	}
	return nil
}

// grows reports whether values of the kind have an order in which what is new comes last.
func grows(k syncline.Kind) bool {
	return number(k) && k != syncline.KindFloat || clocked(k) || slices.Contains([]syncline.Kind{syncline.KindText, syncline.KindUUID, syncline.KindFloat}, k)
}

func clocked(k syncline.Kind) bool {
	return k == syncline.KindTimestampTZ || k == syncline.KindTimestamp || k == syncline.KindDate
}

// OverlapOf is the entity's overlap in terms of its watermark's first column.
func OverlapOf(e *Entity, kind syncline.Kind) Overlap {
	switch {
	case e.Overlap != nil:
		return *e.Overlap
	case clocked(kind) && e.Compare:
		return Overlap{Time: DefaultOverlap}
	}
	return Overlap{}
}

// readerOf makes events of the table's rows. A schema that has not changed is the one that events have had before.
func (s *Source) readerOf(e *Entity, t Table) *reader {
	r := s.readers[e.Name]
	if r == nil || r.schema.Fingerprint() != t.Schema().Fingerprint() {
		r = newReader(e, t.Schema())
		s.readers[e.Name] = r
	}
	return r
}

func (s *Source) warn(entity string, list []syncline.Finding) {
	var texts []string
	for _, f := range list {
		text := f.Code + ": entity " + entity + ": " + f.What
		if f.Fix != "" {
			text += "; " + f.Fix
		}
		texts = append(texts, text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warnings[entity] = texts
}

// Warnings says what polls do not see. It is safe beside Next.
func (s *Source) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, name := range s.names() {
		all = append(all, s.warnings[name]...)
	}
	return all
}

// Check implements syncline.Checker.
func (s *Source) Check(ctx context.Context) (out []syncline.Finding) {
	defer s.opt.Dialect.Close() //nolint:errcheck // it was only read
	if _, err := s.opt.Dialect.Open(ctx); err != nil {
		return []syncline.Finding{syncline.Failure(err, "")}
	}
	out = append(out, syncline.Finding{Level: "ok", What: "the database can be read"})
	h, err := s.opt.Dialect.Horizon(ctx)
	if err != nil {
		return append(out, syncline.Failure(err, ""))
	}
	if h.Blind != "" {
		out = append(out, syncline.Finding{Level: "warn", Code: "poll_blind", What: h.Blind, Fix: "or declare an overlap as long as the longest transaction"})
	}
	for _, name := range s.names() {
		e := s.entities[name]
		t, err := s.table(ctx, e)
		if err == nil { // rights are asked for by whoever reads
			_, err = t.Read(ctx, Range{ByKey: true, Rows: 1, Bytes: 1})
		}
		if err != nil {
			out = append(out, syncline.Failure(err, ""))
			continue
		}
		out = append(out, syncline.Finding{Level: "ok", What: name + ": can be polled"})
		out = append(out, t.Findings()...)
	}
	return out
}

// Describe implements syncline.Describer.
func (s *Source) Describe(ctx context.Context) (list []*syncline.Schema, err error) {
	defer s.opt.Dialect.Close() //nolint:errcheck // it was only read
	if _, err := s.opt.Dialect.Open(ctx); err != nil {
		return nil, err
	}
	for _, name := range s.names() {
		if t, err := s.table(ctx, s.entities[name]); err == nil {
			list = append(list, t.Schema())
		} else if transient(err) {
			return nil, err
		}
	}
	return list, nil
}
