package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// stageNames are the parts of the way of an entry of the log from its commit to the target's, in their order.
var stageNames = [4]string{"capture: WAL, decode, gather", "append to the log", "read, transform, wait", "apply"}

// stages measures where the time between commit and visible goes, by the traces that the process sends of one entry in five.
func (b *bench) stages(ctx context.Context) (section, error) {
	s := section{
		title: "Where the time from commit to visible goes",
		how: fmt.Sprintf("The load of the section before, %s at each rate, with one entry of the log in five traced. Means over those entries; the capture begins at the commit of an entry's "+
			"first transaction, and the apply ends with the target's commit. What is between the log and the target's transaction is not told apart.", latencyTime),
		head: []string{"changes/s", "entries", stageNames[0], stageNames[1], stageNames[2], stageNames[3], "sum"},
	}
	c, err := newTraceCollector()
	if err != nil {
		return s, err
	}
	defer c.close()
	traced := mirror
	traced.more = fmt.Sprintf("traces: {endpoint: %q, ratio: 20%%}", c.url)
	f, err := makeField(ctx, b, "stages", account, traced, func(*field) error { return nil })
	if err != nil {
		return s, err
	}
	defer f.abandon()
	for _, perSecond := range []int{1000, 5000} {
		if err := f.level(ctx); err != nil {
			return s, err
		}
		c.take()
		if _, _, err := f.delay(ctx, f.syncline, perSecond); err != nil {
			return s, err
		}
		found, n := c.take().means()
		if n == 0 {
			return s, errors.New("no entry was traced from its capture to its target")
		}
		row := []string{count(perSecond), count(n)}
		var sum time.Duration
		for _, d := range found {
			sum += d
		}
		for _, d := range found {
			row = append(row, fmt.Sprintf("%s (%s)", milliseconds(d), percent(d, sum)))
		}
		s.rows = append(s.rows, append(row, milliseconds(sum)))
	}
	return s, f.drop(ctx)
}

// way is what is known of one entry, in Unix nanoseconds.
type way struct{ captured, appendBegan, appended, applyBegan, applied uint64 }

// ways are those of the entries, by their trace's identity.
type ways map[string]*way

// means are those of the stages, over the entries of which all are known.
func (w ways) means() (stages [len(stageNames)]time.Duration, n int) {
	for _, x := range w {
		if x.captured == 0 || x.appended == 0 || x.applied == 0 {
			continue
		}
		n++
		for i, d := range [...]uint64{x.appendBegan - x.captured, x.appended - x.appendBegan, x.applyBegan - x.appended, x.applied - x.applyBegan} {
			stages[i] += time.Duration(d)
		}
	}
	for i := range stages {
		stages[i] /= time.Duration(max(n, 1))
	}
	return stages, n
}

// traceCollector takes traces by OTLP over HTTP.
type traceCollector struct {
	url    string
	server *http.Server

	mu   sync.Mutex
	ways ways
}

func newTraceCollector() (*traceCollector, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &traceCollector{url: "http://" + l.Addr().String(), ways: ways{}}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: time.Minute}
	go c.server.Serve(l) //nolint:errcheck // it ends when it is closed
	return c, nil
}

func (c *traceCollector) close() { _ = c.server.Close() }

// take returns what has come, and begins anew.
func (c *traceCollector) take() ways {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.ways
	c.ways = ways{}
	return w
}

func (c *traceCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m collector.ExportTraceServiceRequest
	if err = errors.Join(err, proto.Unmarshal(body, &m)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range m.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.ways.add(s)
			}
		}
	}
}

func (w ways) add(s *spans.Span) {
	x := w[string(s.TraceId)]
	if x == nil {
		x = &way{}
		w[string(s.TraceId)] = x
	}
	switch s.Name {
	case "capture":
		x.captured = s.StartTimeUnixNano
	case "append":
		x.appendBegan, x.appended = s.StartTimeUnixNano, s.EndTimeUnixNano
	case "apply":
		x.applyBegan, x.applied = s.StartTimeUnixNano, s.EndTimeUnixNano
	}
}
