package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"syncline"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, ratio float64) (*Tracer, func() tracetest.SpanStubs) {
	t.Helper()
	kept := &kept{InMemoryExporter: tracetest.NewInMemoryExporter()}
	tracer, err := Open(t.Context(), Options{Exporter: kept, Ratio: ratio, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return tracer, func() tracetest.SpanStubs {
		if err := tracer.Close(context.Background()); err != nil {
			t.Error(err)
		}
		return kept.spans
	}
}

// kept does not forget its spans when it is shut down.
type kept struct {
	*tracetest.InMemoryExporter
	spans tracetest.SpanStubs
}

func (k *kept) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	k.spans = append(k.spans, tracetest.SpanStubsFromReadOnlySpans(spans)...)
	return nil
}

func batch(events ...syncline.Event) *syncline.Batch {
	return &syncline.Batch{Source: "crm", Txns: []syncline.Txn{{Time: noon.Add(-time.Second)}}, Events: events}
}

func each(b *syncline.Batch, seq syncline.Seq) func(func(syncline.Seq, int, *syncline.Event)) {
	return func(f func(syncline.Seq, int, *syncline.Event)) {
		for i := range b.Events {
			f(seq, i, &b.Events[i])
		}
	}
}

// TestOneTraceAcrossTheLog: who appends and who applies share no memory, and their spans make one trace: capture, append, apply.
func TestOneTraceAcrossTheLog(t *testing.T) {
	writer, written := open(t, 1)
	b := batch(syncline.Event{})
	writer.Appended(&Append{Source: "crm", Log: "l", Seq: 7, Batch: b, Began: noon, End: noon.Add(time.Millisecond)})
	reader, read := open(t, 1)
	reader.Applied(&Apply{Source: "crm", Log: "l", Route: "r", Target: "dw", From: syncline.Cursor{Seq: 7}, To: syncline.Cursor{Seq: 8}, Changes: 1,
		Began: noon.Add(time.Second), End: noon.Add(2 * time.Second), Code: "down", Events: each(b, 7)})
	spans := append(written(), read()...)
	slices.SortFunc(spans, func(a, b tracetest.SpanStub) int {
		return slices.Index([]string{"capture", "append", "apply"}, a.Name) - slices.Index([]string{"capture", "append", "apply"}, b.Name)
	})
	if len(spans) != 3 {
		t.Fatalf("%d spans, want capture, append and apply", len(spans))
	}
	for i := range spans[1:] {
		if spans[i+1].Parent.SpanID() != spans[i].SpanContext.SpanID() || spans[i+1].SpanContext.TraceID() != spans[i].SpanContext.TraceID() {
			t.Errorf("%s does not follow %s", spans[i+1].Name, spans[i].Name)
		}
	}
	if s := spans[0]; !s.StartTime.Equal(noon.Add(-time.Second)) || !s.EndTime.Equal(noon.Add(time.Millisecond)) {
		t.Errorf("capture from %s to %s, want from the source's commit to the log's", s.StartTime, s.EndTime)
	}
	if s := spans[2]; s.Status.Description != "down" || s.EndTime.Sub(s.StartTime) != time.Second {
		t.Errorf("apply = %+v", s)
	}
}

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"

// TestEventsBringTheirTrace: what is done to a pushed event belongs to the trace of its traceparent, whatever the ratio, and is not told
// where that does not ask for it.
func TestEventsBringTheirTrace(t *testing.T) {
	tracer, spans := open(t, 0)
	b := batch(syncline.Event{Meta: &syncline.Meta{Trace: parent + "01"}}, syncline.Event{}, syncline.Event{Meta: &syncline.Meta{Trace: parent + "00"}},
		syncline.Event{Meta: &syncline.Meta{Trace: "no trace"}})
	tracer.Appended(&Append{Source: "pos", Log: "l", Seq: 7, Batch: b, Began: noon, End: noon})
	tracer.Applied(&Apply{Source: "pos", Log: "l", Route: "r", From: syncline.Cursor{Seq: 7}, To: syncline.Cursor{Seq: 8}, Began: noon, End: noon, Events: each(b, 7)})
	list := spans()
	if len(list) != 2 || list[0].Name != "append" || list[1].Name != "apply" {
		t.Fatalf("spans = %+v, want append and apply of one event", list)
	}
	for _, s := range list {
		if s.SpanContext.TraceID().String() != parent[3:35] {
			t.Errorf("%s is of trace %s", s.Name, s.SpanContext.TraceID())
		}
	}
	if list[0].Parent.SpanID().String() != parent[36:52] || list[1].Parent.SpanID() != list[0].SpanContext.SpanID() {
		t.Errorf("append below %s, apply below %s", list[0].Parent.SpanID(), list[1].Parent.SpanID())
	}
}

// TestTheRatioIsKept, and chooses the same entries at both ends.
func TestTheRatioIsKept(t *testing.T) {
	for _, ratio := range []float64{0, 0.01, 0.5, 1} {
		tracer, spans := open(t, ratio)
		other, otherSpans := open(t, ratio) // as the one of the other end is
		const n = 20000
		chosen := 0
		for seq := range syncline.Seq(n) {
			if e := place("crm", "l", seq+1); tracer.chosen(e) != other.chosen(place("crm", "l", seq+1)) {
				t.Fatal("an entry is chosen once, and once not")
			} else if tracer.chosen(e) {
				chosen++
			}
		}
		if off := math.Abs(float64(chosen)/n - ratio); off > 0.01 || ratio == 0 && chosen > 0 || ratio == 1 && chosen < n {
			t.Errorf("ratio %v: %d of %d entries", ratio, chosen, n)
		}
		spans()
		otherSpans()
	}
}

// TestACollectorThatRefusesHoldsNothingUp: what it does not take is dropped.
func TestACollectorThatRefusesHoldsNothingUp(t *testing.T) {
	tracer, err := Open(t.Context(), Options{Exporter: refusing{}, Ratio: 1})
	if err != nil {
		t.Fatal(err)
	}
	for seq := range syncline.Seq(10000) {
		tracer.Appended(&Append{Source: "crm", Log: "l", Seq: seq, Batch: batch(syncline.Event{}), Began: noon, End: noon})
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestACollectorThatRepeatsWhatItWasSent: neither its URL nor the headers of the environment are in the log, and its answer is so only by its
// beginning.
func TestACollectorThatRepeatsWhatItWasSent(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=hunter2%20spaced, x-other=hunter2other")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-third=hunter2third")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "no %s for %q %s", r.URL, r.Header, strings.Repeat("x", 100_000))
	}))
	t.Cleanup(server.Close)
	var log strings.Builder
	tracer, err := Open(t.Context(), Options{Endpoint: server.URL + "/hunter2path", Ratio: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	tracer.Appended(&Append{Source: "crm", Log: "l", Seq: 1, Batch: batch(syncline.Event{}), Began: noon, End: noon})
	if err := tracer.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if said := log.String(); !strings.Contains(said, "403") || !strings.Contains(said, "body: no /…/v1/traces for") || strings.Contains(said, "hunter2") || len(said) > 2000 {
		t.Errorf("the log says, in %d bytes: %.2000s", len(said), said)
	}
}

// TestVariablesThatCannotBeRead are told of without what they hold, and nothing goes past the log.
func TestVariablesThatCannotBeRead(t *testing.T) {
	const mark = "TRACE_TEST_CHILD"
	if os.Getenv(mark) != "" {
		tracer, err := Open(t.Context(), Options{Endpoint: "http://127.0.0.1:1", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := tracer.Close(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	for variable, want := range map[string]string{
		"OTEL_EXPORTER_OTLP_HEADERS=x-token=100%hunter2":           "escape header value",
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS==abc,hunter2":           "parse headers",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://u:hunter2@h:port":      "parse url",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://h/%zz?hunter2": "parse url",
		"OTEL_EXPORTER_OTLP_TIMEOUT=hunter2":                       "parse duration",
		"OTEL_EXPORTER_OTLP_CERTIFICATE=/hunter2/hunter2":          "read tls ca cert file",
		"OTEL_RESOURCE_ATTRIBUTES=hunter2":                         "OTEL_RESOURCE_ATTRIBUTES",
	} {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // this program
		child.Env = append(os.Environ(), mark+"=1", variable)
		said, err := child.CombinedOutput()
		if err != nil || strings.Contains(string(said), "hunter2") || !strings.Contains(string(said), "level=WARN") || !strings.Contains(string(said), want) {
			t.Errorf("%s: %v, it says:\n%swant a warning of %q without the value", variable, err, said, want)
		}
	}
}

type refusing struct{}

func (refusing) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return errors.New("no") }
func (refusing) Shutdown(context.Context) error                        { return nil }

// BenchmarkApplied is what a batch of one entry costs where traces are on.
func BenchmarkApplied(b *testing.B) {
	for _, ratio := range []float64{0, 0.01} {
		b.Run(fmt.Sprint(ratio), func(b *testing.B) {
			tracer, err := Open(b.Context(), Options{Exporter: refusing{}, Ratio: ratio})
			if err != nil {
				b.Fatal(err)
			}
			one := batch(syncline.Event{})
			b.ReportAllocs()
			for i := range syncline.Seq(b.N) {
				tracer.Applied(&Apply{Source: "crm", Log: "l", From: syncline.Cursor{Seq: i}, To: syncline.Cursor{Seq: i + 1}, Events: each(one, i)})
			}
		})
	}
}
