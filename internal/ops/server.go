package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"syncline"
)

const (
	headerTimeout = 5 * time.Second
	// readTimeout and writeTimeout leave room for a large batch of events and for the fsync that its answer waits for.
	readTimeout  = time.Minute
	writeTimeout = 2 * time.Minute
	idleTimeout  = 2 * time.Minute
	maxHeader    = 64 << 10
	// drainTimeout bounds how long requests in hand may take once the server is to stop.
	drainTimeout = 10 * time.Second
)

// Options are what the server shows.
type Options struct {
	Engine Engine
	// Version is this program's.
	Version string
	// Events answers POST /v1/events; nil where there is no push source. It bounds the body by itself.
	Events http.Handler
	// Metrics is what /metrics shows; nil for no /metrics.
	Metrics prometheus.Gatherer
	// Logger is nil for none.
	Logger *slog.Logger
}

// Server is the HTTP API. It has no state of its own.
type Server struct {
	handler http.Handler
	log     *slog.Logger
}

// New builds the API.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	a := &api{engine: o.Engine, log: o.Logger}
	document, err := a.register(mux, o)
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(document) // the caller is gone
	})
	if o.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{
			ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4}))
	}
	if o.Events != nil {
		mux.Handle("POST /v1/events", o.Events)
	}
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		newProblem(http.StatusForbidden, "cross_origin", "a page of another site may not send this request", "").write(w)
	}))
	return &Server{handler: ownHostOnly(origin.Handler(knownPaths(mux))), log: o.Logger}, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Listen opens the address of the API. Until there are users and tokens it must be one that only this machine can reach:
// anything else is refused with insecure_listen.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "listen_invalid", "http.listen is not an address with a port: %w", err).
			WithFix("use 127.0.0.1:8484")
	}
	if !loopback(host) {
		return nil, insecure(address)
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "listen_failed", "listen on %s: %w", address, err).
			WithFix("end what listens there, or set http.listen to a free port")
	}
	return l, nil
}

func insecure(address string) error {
	return syncline.Errorf(syncline.Fatal, "insecure_listen", "%s can be reached from other machines, and there is no login yet", address).
		WithFix("listen on 127.0.0.1, [::1] or localhost; reach it from elsewhere through an SSH tunnel")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Serve answers requests on l, which it closes, until ctx ends; requests in hand get a while to finish. It returns nil
// after a clean stop.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return errors.Join(insecure(l.Addr().String()), l.Close())
	}
	h := &http.Server{Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}
	failed := make(chan error, 1) // one send by the goroutine below, which so never waits
	go func() { failed <- h.Serve(l) }()
	s.log.Info("api listens", "address", l.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := h.Shutdown(drain)
	if err != nil {
		err = errors.Join(fmt.Errorf("finish requests in hand: %w", err), h.Close())
	}
	<-failed //nolint:errcheck // the listener is closed: what Serve says of that is no news
	return err
}

// ownHostOnly refuses names that are not this machine's own: a page whose name was made to point here would otherwise
// read the API through its visitor's browser.
func ownHostOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback(strings.Trim(host, "[]")) {
			newProblem(http.StatusForbidden, "host_refused", "the request is for another host than this one",
				"use http://127.0.0.1 or http://localhost").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knownPaths answers what the mux has no handler for with a problem.
func knownPaths(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refusal := &refusal{header: w.Header(), status: http.StatusNotFound}
		h.ServeHTTP(refusal, r)
		if refusal.status == http.StatusMethodNotAllowed {
			newProblem(refusal.status, "method_not_allowed", r.Method+" is not allowed here", "").write(w)
			return
		}
		newProblem(http.StatusNotFound, "path_not_found", "there is nothing at this path", "GET /openapi.json lists the paths").write(w)
	})
}

// refusal takes the status and the headers of the mux's own answer and drops its text.
type refusal struct {
	header http.Header
	status int
}

func (r *refusal) Header() http.Header         { return r.header }
func (r *refusal) WriteHeader(status int)      { r.status = status }
func (r *refusal) Write(b []byte) (int, error) { return len(b), nil }
