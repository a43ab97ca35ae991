package jetlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats-server/v2/server"
)

// health asks the server what it would answer to a monitor: the only place where it tells of a stream that it could not
// recover or cannot write. The answer first waits a millisecond for the server to take connections, which a busy machine
// can miss: that says nothing, and the question is repeated.
func health(srv *server.Server) error {
	req, err := http.NewRequest(http.MethodGet, server.HealthzPath+"?details=true", nil)
	if err != nil {
		return fmt.Errorf("ask for the log server's health: %w", err)
	}
	var unready error
	for range 1000 {
		var answer response
		srv.HandleHealthz(&answer, req)
		var status server.HealthStatus
		if err := json.Unmarshal(answer.body, &status); err != nil {
			return fmt.Errorf("read the log server's health: %w", err)
		}
		if len(status.Errors) == 0 {
			return nil
		}
		first := status.Errors[0]
		if first.Type != server.HealthzErrorConn {
			return errors.New(first.Error)
		}
		unready = errors.New(first.Error)
	}
	return unready
}

// response keeps the body of an http.Handler's answer.
type response struct {
	header http.Header
	body   []byte
}

func (r *response) Header() http.Header {
	if r.header == nil {
		r.header = make(http.Header)
	}
	return r.header
}

func (r *response) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return len(b), nil
}

func (r *response) WriteHeader(int) {}

// serverLog passes the server's log on. Its errors also have the server's health looked at.
type serverLog struct {
	e *embedded
	// fatal is told why the server gave up its start.
	fatal func(error)
}

func (l serverLog) Debugf(format string, v ...any)  { l.debug(format, v) }
func (l serverLog) Tracef(format string, v ...any)  { l.debug(format, v) }
func (l serverLog) Noticef(format string, v ...any) { l.debug(format, v) }

// Warnf is at debug level: what an operator must know of it shows as an error of the call that it concerns.
func (l serverLog) Warnf(format string, v ...any) { l.debug(format, v) }

func (l serverLog) Errorf(format string, v ...any) {
	l.e.logger.Warn("log server reports an error", "error", fmt.Sprintf(format, v...))
	l.e.suspect()
}

func (l serverLog) Fatalf(format string, v ...any) { l.fatal(fmt.Errorf(format, v...)) }

func (l serverLog) debug(format string, v []any) {
	l.e.logger.Debug("log server", "detail", fmt.Sprintf(format, v...))
}
