package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"syncline/internal/state"
)

const (
	headerTimeout = 5 * time.Second
	// readTimeout leaves room for a large batch of events, writeTimeout for whatever our own client waits for: an answer that comes later than
	// that is cut off, although what was asked has been done.
	readTimeout  = time.Minute
	writeTimeout = applyTimeout + time.Minute
	idleTimeout  = 2 * time.Minute
	maxHeader    = 64 << 10
	// drainTimeout bounds how long requests in hand may take once the server is to stop.
	drainTimeout = 10 * time.Second
)

// Options are what the server shows, and whom it lets in. Engine and Store are required.
type Options struct {
	Engine Engine
	// Configs answers for the configuration.
	Configs Configurations
	// Store has the tokens.
	Store *state.Store
	// Version is this program's.
	Version string
	// Events answers POST /v1/events; nil where there is no push source. It bounds the body by itself, and refuses the events of a
	// source that the caller may not send for.
	Events func(w http.ResponseWriter, r *http.Request, may func(source string) bool)
	// Metrics is what /metrics shows; nil for no /metrics.
	Metrics prometheus.Gatherer
	// Concurrency bounds the requests that are answered at once; 0 = 256.
	Concurrency int
	// Rate bounds the requests of one caller a second, but for events; 0 = 500.
	Rate int
	// Logger is nil for none.
	Logger *slog.Logger
}

// Server is the HTTP API. It has no state of its own.
type Server struct {
	handler http.Handler
	guard   *guard
	log     *slog.Logger
	// stopStreams has streams end, which would else keep the server from stopping.
	stopStreams func()
	// headerWait is how long the headers of a request may take.
	headerWait time.Duration
	// plain: others can reach the server without TLS.
	plain atomic.Bool
}

// New builds the API.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Concurrency == 0 {
		o.Concurrency = 256
	}
	if o.Rate == 0 {
		o.Rate = 500
	}
	mux := http.NewServeMux()
	s := &Server{log: o.Logger, headerWait: headerTimeout}
	a := &api{engine: o.Engine, configs: o.Configs, store: o.Store, log: o.Logger, warnings: s.warnings,
		stays: func(ctx context.Context) (bool, error) { return s.guard.stays(ctx) }, closing: make(chan struct{})}
	s.stopStreams = sync.OnceFunc(func() { close(a.closing) })
	described, ops, err := a.register(mux, o)
	if err != nil {
		return nil, err
	}
	document := sync.OnceValues(func() ([]byte, error) { // it is large, and seldom asked for
		text, err := json.MarshalIndent(described, "", "  ")
		return append(text, '\n'), err
	})
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		text, err := document()
		if err != nil {
			s.guard.answer(w, r, fmt.Errorf("write the OpenAPI document: %w", err))
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(text) // the caller is gone
	})
	if o.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{
			ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4}))
	}
	if o.Events != nil {
		mux.HandleFunc("POST /v1/events", func(w http.ResponseWriter, r *http.Request) {
			who := callerOf(r.Context())
			o.Events(w, r, who.token.Publishes)
		})
	}
	s.guard = &guard{mux: mux, operations: ops, store: o.Store, limits: newLimits(o.Concurrency, o.Rate), log: o.Logger}
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(s.guard.refuseOrigin))
	s.handler = origin.Handler(s.guard)
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin") // no page of another site has an answer in its memory, not even one it cannot read
	s.handler.ServeHTTP(w, r)
}

// warnings are what an operator should know about who can reach the API.
func (s *Server) warnings(ctx context.Context) ([]string, error) {
	var list []string
	open, err := s.guard.open(ctx)
	if open {
		list = append(list, "there are no tokens: whoever can connect from this machine can do everything (syncline token create)")
	}
	if s.plain.Load() {
		list = append(list, "other machines reach the API without TLS: tokens and records can be read on the way (http.tls)")
	}
	return list, err
}

// Serve answers requests on l, which it closes, until ctx ends; requests in hand get a while to finish. It returns nil
// after a clean stop. Like Listen it refuses an address that others can reach while there is no token.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		if err := mayShare(ctx, s.guard.store, l.Addr().String()); err != nil {
			return errors.Join(err, l.Close())
		}
		s.guard.shared.Store(true)
		s.plain.Store(!Encrypted(l))
	}
	h := &http.Server{Handler: s, ReadHeaderTimeout: s.headerWait, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: errorLog(s.log)}
	h.RegisterOnShutdown(s.stopStreams)
	warnings, err := s.warnings(ctx)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	failed := make(chan error, 1) // one send by the goroutine below, which so never waits
	go func() { failed <- h.Serve(l) }()
	s.log.Info("api listens", "address", l.Addr().String(), "tls", Encrypted(l))
	for _, w := range warnings {
		s.log.Warn("the api is not protected", "why", w)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err = h.Shutdown(drain)
	if err != nil {
		err = errors.Join(fmt.Errorf("finish requests in hand: %w", err), h.Close())
	}
	<-failed //nolint:errcheck // the listener is closed: what Serve says of that is no news
	return err
}
