package trace

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"syncline"
)

// entry is the identity of what is told of an entry.
type entry struct {
	trace              trace.TraceID
	captured, appended trace.SpanID
	number             uint64 // evenly spread over 63 bits: by it entries are chosen
	seed               uint64
}

// place returns the identity of an entry: the same for all, whenever they ask.
func place(source, log string, seq syncline.Seq) entry {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("syncline\x00"+source+"\x00"+log+"\x00"), uint64(seq)))
	e := entry{number: binary.BigEndian.Uint64(sum[8:]) >> 1, seed: binary.BigEndian.Uint64(sum[24:])}
	copy(e.trace[:], sum[:16])
	copy(e.captured[:], sum[16:24])
	copy(e.appended[:], sum[24:32])
	return e
}

// context is the parent of what is done to the entry after it was appended.
func (e entry) context() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: e.trace, SpanID: e.appended, TraceFlags: trace.FlagsSampled, Remote: true})
}

// event is the identity of the span that appended one event of the entry, in the trace that it brought.
func (e entry) event(index int) (id trace.SpanID) {
	x := e.seed + uint64(index+1)*0x9e3779b97f4a7c15 // splitmix64
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	binary.BigEndian.PutUint64(id[:], x^x>>31|1)
	return id
}

// parentOf reads the event's traceparent; ok is false where it has none that is valid and asks to be traced.
func parentOf(e *syncline.Event) (parent trace.SpanContext, ok bool) {
	if e.Meta == nil || e.Meta.Trace == "" {
		return parent, false
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": e.Meta.Trace})
	parent = trace.SpanContextFromContext(ctx)
	return parent, parent.IsValid() && parent.IsSampled()
}

// ids are those that the next span is to have.
type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

type idsKey struct{}

func withIDs(ctx context.Context, t trace.TraceID, s trace.SpanID) context.Context {
	return context.WithValue(ctx, idsKey{}, ids{t, s})
}

// named gives spans the ids that their context asks for, others random ones.
type named struct{}

// NewIDs implements sdk.IDGenerator.
func (named) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if want, ok := ctx.Value(idsKey{}).(ids); ok {
		return want.trace, want.span
	}
	var t trace.TraceID
	binary.BigEndian.PutUint64(t[:], rand.Uint64()|1)
	binary.BigEndian.PutUint64(t[8:], rand.Uint64())
	return t, random()
}

// NewSpanID implements sdk.IDGenerator.
func (named) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if want, ok := ctx.Value(idsKey{}).(ids); ok {
		return want.span
	}
	return random()
}

func random() (s trace.SpanID) {
	binary.BigEndian.PutUint64(s[:], rand.Uint64()|1)
	return s
}
