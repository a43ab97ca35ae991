// Package enrich answers the enrich steps of transforms: for the keys of a whole batch it asks a database once, or a service side by
// side, and keeps the answers for a while; or it looks into a file.
//
// What the answer means:
//
//	a row            the fields
//	none             missing: what the step says (null, default, reject, wait)
//	several          that record is rejected (enrich_ambiguous)
//	not usable       that record is rejected (enrich_failed)
//	nobody answers   transient: the route waits and asks again, or it counts as missing where the step says so
//	not allowed      fatal: the route stops (enrich_refused)
package enrich

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"syncline"
	"syncline/internal/backoff"
	"syncline/internal/expression"
	"syncline/internal/transform"
)

// found is what is known of a key.
type found struct {
	// values are those of the step's fields; nil = there is no row.
	values []syncline.Value
	// err is why no record can have them.
	err error
}

// asker asks for keys, which are different and not null. It returns what it found of each; one that it leaves out has no row. After an
// error, what it found is right, and of those that it leaves out nothing is known.
type asker interface {
	ask(ctx context.Context, keys []syncline.Value) (map[string]found, error)
	close() error
}

// Options describe an enrichment. One of Postgres and SQLite is set where the step asks a database, or for an entity that is in one.
type Options struct {
	Step     transform.Enrich
	Postgres string // a connection URL
	SQLite   string // a file
	// Describe returns the schema of the step's entity as its source has it now, nil where the source cannot capture it. Table is its table
	// as an SQL identifier, for PostgreSQL.
	Describe func(context.Context) (*syncline.Schema, error)
	Table    string
	Logger   *slog.Logger
	Now      func() time.Time // nil = time.Now
}

// Enricher answers one step. It is a transform.Asker.
type Enricher struct {
	step  transform.Enrich
	log   *slog.Logger
	now   func() time.Time
	asker asker

	mu    sync.Mutex // of what follows; held while a question is asked
	cache cache
	// failures counts questions without an answer, one after the other; until then nobody is asked where that counts as missing.
	failures int
	until    time.Time
}

// New returns an enricher. It connects to nothing before the first question.
func New(o Options) (*Enricher, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Enricher{step: o.Step, log: o.Logger, now: o.Now, cache: cache{size: o.Step.Size}}
	var err error
	switch {
	case o.Step.HTTP != nil:
		e.asker, err = newService(o.Step)
	case o.Step.File != nil:
		e.cache.size = 0 // it is in memory, and a change counts at once
		e.asker, err = newFile(o.Step, o.Logger)
	case o.Step.Entity != nil:
		e.asker = newEntity(o)
	case o.Postgres != "":
		e.asker, err = newPostgres(o.Step, o.Postgres)
	default:
		e.asker = newSQLite(o.Step, o.SQLite)
	}
	return e, err
}

// Close ends connections.
func (e *Enricher) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asker.close()
}

// Ask implements transform.Asker.
func (e *Enricher) Ask(ctx context.Context, asks []*transform.Ask) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	known := make(map[string]found, len(asks))
	var unknown []syncline.Value
	for _, a := range asks {
		if a.Key.IsNull() {
			continue
		}
		key := textOf(a.Key)
		if _, ok := known[key]; ok {
			continue
		}
		f, ok := e.cache.get(key, now)
		if known[key] = f; !ok {
			unknown = append(unknown, a.Key)
		}
	}
	if len(unknown) > 0 {
		if err := e.learn(ctx, unknown, known, now); err != nil {
			return err
		}
	}
	for _, a := range asks {
		var f found
		if !a.Key.IsNull() {
			f = known[textOf(a.Key)]
		}
		e.settle(a, f)
	}
	return nil
}

// learn asks for the keys, and keeps what it is told.
func (e *Enricher) learn(ctx context.Context, keys []syncline.Value, known map[string]found, now time.Time) error {
	if e.step.Down && now.Before(e.until) {
		return nil
	}
	asked := ctx
	if e.step.HTTP == nil { // which has it for each of its questions
		var cancel context.CancelFunc
		asked, cancel = context.WithTimeout(ctx, e.step.Timeout)
		defer cancel()
	}
	answers, err := e.asker.ask(asked, keys)
	if err == nil && e.failures > 0 {
		e.failures, e.until = 0, time.Time{}
		e.log.Info("enrichment gets answers again")
	}
	for _, k := range keys {
		key := textOf(k)
		f, answered := answers[key]
		if err != nil && !answered {
			continue
		}
		known[key] = f
		switch {
		case f.err != nil: // it may be corrected
		case f.values == nil && e.step.Missing == transform.MissingWait: // it is waited for
		case f.values == nil:
			e.cache.put(key, f, now.Add(e.step.Negative))
		default:
			e.cache.put(key, f, now.Add(e.step.TTL))
		}
	}
	if err != nil {
		return e.unanswered(ctx, err, now)
	}
	return nil
}

// unanswered decides what becomes of the records when nobody answers.
func (e *Enricher) unanswered(ctx context.Context, err error, now time.Time) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = syncline.Errorf(syncline.Transient, "enrich_unreachable", "no answer within %s", e.step.Timeout).
			WithFix("see why it is slow, or raise timeout; it is asked again")
	}
	if !e.step.Down || syncline.ClassOf(err) != syncline.Transient {
		return err
	}
	e.failures++
	e.until = now.Add(syncline.RetryAfter(err) + backoff.Delay(time.Second, time.Minute, e.failures))
	if e.failures == 1 {
		e.log.Warn("enrichment gets no answer: its fields count as missing", "code", syncline.CodeOf(err), "err", err)
	}
	return nil
}

// settle gives a record what was found of its key.
func (e *Enricher) settle(a *transform.Ask, f found) {
	switch {
	case f.err != nil:
		a.Err = f.err
	case f.values != nil:
		a.Out = f.values
	case e.step.Missing == transform.MissingReject:
		a.Err = syncline.Errorf(syncline.Rejected, "enrich_missing", "nothing is found for the record's key").
			WithFix("add what is missing where it comes from, then retry the task")
	case e.step.Missing == transform.MissingWait:
		a.Err = syncline.Errorf(syncline.Transient, "enrich_missing", "nothing is found for the record's key yet").
			WithFix("it is asked for again")
	default:
		a.Out = make([]syncline.Value, len(e.step.Take))
		for i, t := range e.step.Take {
			if a.Out[i] = syncline.Null; e.step.Missing == transform.MissingDefault && t.Default != nil {
				a.Out[i] = t.Default.Value
			}
		}
	}
}

// convert makes the value of a field of what was found.
func convert(t *transform.Taken, v syncline.Value) (syncline.Value, error) {
	kind := t.Output.Kind
	if kind == syncline.KindNull {
		kind = syncline.KindText
	}
	out, err := expression.Convert(v, syncline.KindNull, kind)
	if err != nil {
		return out, syncline.Errorf(syncline.Rejected, "enrich_failed", "field %s: %w", t.Field, err).
			WithFix("say in take of which kind it is, or correct it where it comes from, then retry the task")
	}
	return out, nil
}

// ambiguous is of a key that several rows have.
func ambiguous() error {
	return syncline.Errorf(syncline.Rejected, "enrich_ambiguous", "several rows are found for the record's key").
		WithFix("ask for one row, then retry the task")
}

// textOf is the text by which keys are compared: that of the value, of a number without zeros behind the point.
func textOf(v syncline.Value) string {
	text := v.Text()
	if (v.Kind() == syncline.KindDecimal || v.Kind() == syncline.KindFloat) && strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
