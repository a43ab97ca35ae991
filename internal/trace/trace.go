// Package trace tells an OpenTelemetry collector how changes went from their source through the log to their targets.
//
// An entry of a log has a trace whose identity follows from its place: from the source, the log and the sequence number. So whoever appends
// it and whoever applies it, perhaps after a restart, know the same trace and choose the same ones, without anything being kept of it. A pushed
// event that brings a traceparent keeps that in the log, and what is done to it belongs to the trace that it came with.
package trace

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"syncline"
	"syncline/internal/httpclient"
)

// Options say where traces go, and how many.
type Options struct {
	// Endpoint is the URL of a collector that takes OTLP over HTTP ("http://127.0.0.1:4318"). Exporter is used instead where it is set.
	Endpoint string
	Exporter sdk.SpanExporter
	// Ratio is the share of the entries that are traced, 0 to 1. An event with a traceparent is traced where that says so.
	Ratio   float64
	Version string
	Logger  *slog.Logger // nil = none
}

// Tracer sends spans. Its methods are safe beside each other and never wait for the collector: what it does not take is dropped.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	below    uint64 // entries whose trace's number is below are traced
}

// Open begins. Nothing is sent before there is a span.
func Open(ctx context.Context, o Options) (*Tracer, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	conceal(o.Logger)
	exporter := o.Exporter
	if exporter == nil {
		var err error
		if exporter, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimRight(o.Endpoint, "/")+"/v1/traces")); err != nil {
			return nil, fmt.Errorf("export traces: %w", err)
		}
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(&heard{SpanExporter: exporter, log: o.Logger, secrets: secrets(o.Endpoint, os.LookupEnv)}), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithIDGenerator(named{}),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "syncline"), attribute.String("service.version", o.Version))))
	return &Tracer{provider: provider, tracer: provider.Tracer("syncline"), below: uint64(math.Min(o.Ratio, 1) * (1 << 63))}, nil
}

// Close sends what is left, until ctx ends.
func (t *Tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Append is an entry that was appended.
type Append struct {
	Source, Log string
	Seq         syncline.Seq
	Batch       *syncline.Batch
	Began, End  time.Time
}

// Appended tells of an entry: of how long it took from its commit at the source, and how long of that the log.
func (t *Tracer) Appended(a *Append) {
	e := place(a.Source, a.Log, a.Seq)
	attributes := []attribute.KeyValue{attribute.String("syncline.source", a.Source), attribute.Int64("syncline.seq", int64(a.Seq)),
		attribute.Int("syncline.events", len(a.Batch.Events))}
	if t.chosen(e) && len(a.Batch.Events) > 0 {
		began := a.Began
		if c := committed(a.Batch); !c.IsZero() && c.Before(began) {
			began = c
		}
		ctx := withIDs(context.Background(), e.trace, e.captured)
		ctx, capture := t.tracer.Start(ctx, "capture", trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes...))
		_, appended := t.tracer.Start(withIDs(ctx, e.trace, e.appended), "append", trace.WithTimestamp(a.Began), trace.WithAttributes(attributes...))
		appended.End(trace.WithTimestamp(a.End))
		capture.End(trace.WithTimestamp(a.End))
	}
	for i := range a.Batch.Events {
		if parent, ok := parentOf(&a.Batch.Events[i]); ok {
			ctx := withIDs(trace.ContextWithRemoteSpanContext(context.Background(), parent), parent.TraceID(), e.event(i))
			_, span := t.tracer.Start(ctx, "append", trace.WithTimestamp(a.Began), trace.WithAttributes(attributes...),
				trace.WithAttributes(attribute.Int("syncline.index", i), attribute.String("syncline.correlation", a.Batch.Events[i].Meta.Correlation)))
			span.End(trace.WithTimestamp(a.End))
		}
	}
}

// committed is when the first of the batch's transactions committed; zero where nobody says.
func committed(b *syncline.Batch) time.Time {
	for i := range b.Txns {
		if !b.Txns[i].Time.IsZero() {
			return b.Txns[i].Time
		}
	}
	return time.Time{}
}

// Apply is an attempt to apply a stretch of a log.
type Apply struct {
	Source, Log, Route, Target string
	// From and To bound the entries, To is not among them where its index is 0.
	From, To syncline.Cursor
	Changes  int
	Began    time.Time
	End      time.Time
	// Code is the error's, "" where all went well.
	Code string
	// Events gives each event of the stretch that a rule wanted.
	Events func(each func(seq syncline.Seq, index int, e *syncline.Event))
}

// maxEntries bounds how many entries of a stretch are looked at: a route may pass a million that do not concern it in one go.
const maxEntries = 10_000

// Applied tells of an attempt, for each entry and event that is traced.
func (t *Tracer) Applied(a *Apply) {
	attributes := []attribute.KeyValue{attribute.String("syncline.source", a.Source), attribute.String("syncline.route", a.Route),
		attribute.String("syncline.target", a.Target), attribute.Int("syncline.changes", a.Changes)}
	span := func(parent trace.SpanContext, more ...attribute.KeyValue) {
		_, s := t.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), parent), "apply", trace.WithTimestamp(a.Began),
			trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attributes...), trace.WithAttributes(more...))
		if a.Code != "" {
			s.SetStatus(codes.Error, a.Code)
		}
		s.End(trace.WithTimestamp(a.End))
	}
	end := a.To.Seq
	if a.To.Index > 0 {
		end++
	}
	for seq := a.From.Seq; seq < min(end, a.From.Seq+maxEntries); seq++ {
		if e := place(a.Source, a.Log, seq); t.chosen(e) {
			span(e.context(), attribute.Int64("syncline.seq", int64(seq)))
		}
	}
	a.Events(func(seq syncline.Seq, index int, e *syncline.Event) {
		if parent, ok := parentOf(e); ok {
			at := place(a.Source, a.Log, seq)
			span(trace.NewSpanContext(trace.SpanContextConfig{TraceID: parent.TraceID(), SpanID: at.event(index), TraceFlags: trace.FlagsSampled, Remote: true}),
				attribute.Int64("syncline.seq", int64(seq)), attribute.Int("syncline.index", index))
		}
	})
}

func (t *Tracer) chosen(e entry) bool { return e.number < t.below }

// heard is an exporter whose failures are told, and not more than once a minute.
type heard struct {
	sdk.SpanExporter
	log *slog.Logger
	// secrets are what the collector was sent and may repeat.
	secrets []string
	last    time.Time // belongs to the one goroutine that exports
}

// maxReason bounds what is told of a failure, which has the whole answer of the collector in it.
const maxReason = 300

// secrets are those of the collector's URL, and the headers that the exporter takes from the environment: NAME=VALUE,NAME=VALUE, escaped.
func secrets(endpoint string, env func(string) (string, bool)) (list []string) {
	if u, err := url.Parse(endpoint); err == nil {
		list = httpclient.Secrets(u)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		headers, _ := env(name)
		for header := range strings.SplitSeq(headers, ",") {
			_, value, _ := strings.Cut(header, "=")
			list = append(list, strings.TrimSpace(value))
			if meant, err := url.PathUnescape(strings.TrimSpace(value)); err == nil {
				list = append(list, meant)
			}
		}
	}
	return list
}

// ExportSpans implements sdk.SpanExporter.
func (h *heard) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := h.SpanExporter.ExportSpans(ctx, spans)
	if err != nil && time.Since(h.last) >= time.Minute {
		h.last = time.Now()
		h.log.Warn("traces are not taken: they are dropped", "spans", len(spans), "err", h.reason(err))
	}
	return nil
}

// reason is an error for the log. The exporter's has the URL and what the collector answered in it.
func (h *heard) reason(err error) string {
	text := strings.ToValidUTF8(httpclient.Conceal(err.Error(), h.secrets), "?")
	if r := []rune(text); len(r) > maxReason {
		text = string(r[:maxReason]) + "…"
	}
	return text
}
