package daemon

import (
	"context"
	"time"

	"syncline"
	"syncline/internal/apply"
	"syncline/internal/config"
	"syncline/internal/trace"
)

// traceTimeout is how long the last traces may take to be sent.
const traceTimeout = 5 * time.Second

// retrace has what works tell of itself as the configuration says. Where it says nothing, nobody tells anything, and it costs nothing.
func (d *Daemon) retrace(ctx context.Context, now *set) {
	if !config.Same(d.traced, now.config.Traces) {
		d.endTraces(ctx)
		if t := now.config.Traces; t != nil {
			tracer, err := trace.Open(ctx, trace.Options{Endpoint: t.Endpoint.Reveal(), Ratio: t.Ratio, Version: d.o.Version, Logger: d.log})
			if err != nil {
				d.log.Error("no traces are sent", "err", err)
			}
			d.tracer = tracer
		}
		d.traced = now.config.Traces
	}
	for _, s := range now.sources {
		if d.tracer == nil {
			s.capture.SetTraced(nil)
			continue
		}
		s.capture.SetTraced(tellAppends(d.tracer, s))
	}
	for _, r := range now.routes {
		if d.tracer == nil {
			r.apply.SetTraced(nil)
			continue
		}
		r.apply.SetTraced(tellAttempts(d.tracer, r))
	}
}

// endTraces sends what is left.
func (d *Daemon) endTraces(ctx context.Context) {
	if d.tracer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceTimeout)
	defer cancel()
	if err := d.tracer.Close(ctx); err != nil {
		d.log.Warn("the last traces were not sent", "err", err)
	}
	d.tracer = nil
}

func tellAppends(t *trace.Tracer, s *source) func(syncline.Seq, *syncline.Batch, time.Time, time.Time) {
	name, log := s.system.Name, s.log.ID()
	return func(seq syncline.Seq, b *syncline.Batch, began, end time.Time) {
		t.Appended(&trace.Append{Source: name, Log: log, Seq: seq, Batch: b, Began: began, End: end})
	}
}

func tellAttempts(t *trace.Tracer, r *route) func(*apply.Attempt) {
	id, source, target := r.id, r.source.system.Name, r.target.Name
	return func(a *apply.Attempt) {
		one := trace.Apply{Source: source, Log: a.To.Log, Route: id, Target: target, From: a.From, To: a.To, Changes: a.Changes, Began: a.Began, End: a.End, Events: a.Events}
		if a.Err != nil {
			one.Code = syncline.CodeOf(a.Err)
		}
		t.Applied(&one)
	}
}
