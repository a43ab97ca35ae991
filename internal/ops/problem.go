package ops

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"syncline"
	"syncline/internal/state"
)

// Problem is an error as the API gives it (RFC 9457), and as the client returns it.
type Problem struct {
	Type   string `json:"type" doc:"urn:syncline:problem: and the code."`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail" doc:"What went wrong, and where."`
	// Code is stable.
	Code   string       `json:"code" doc:"A stable code; docs/errors.md explains it."`
	Fix    string       `json:"fix,omitempty" doc:"What to do about it."`
	Fields []FieldFault `json:"errors,omitempty" doc:"The parts of the request that are wrong."`

	cause error
}

// FieldFault names a part of a request that is wrong.
type FieldFault struct {
	Location string `json:"location" doc:"Where, as in body.keys[3] or query.limit."`
	Message  string `json:"message"`
}

const problemType = "application/problem+json"

const (
	// codeInternal stands for an error that is none of the caller's business; the log has it.
	codeInternal      = "internal"
	codeServerInvalid = "server_invalid"
	codeConfigInvalid = "config_invalid"
)

func newProblem(status int, code, detail, fix string) *Problem {
	return &Problem{Type: "urn:syncline:problem:" + code, Title: http.StatusText(status), Status: status, Detail: detail, Code: code, Fix: fix}
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Code
	}
	return p.Code + ": " + p.Detail
}

// Unwrap gives the problem its place among the errors of this program: its code, its class and its way out.
func (p *Problem) Unwrap() error {
	class := syncline.Rejected
	if p.Status == 0 || p.Status >= http.StatusInternalServerError {
		class = syncline.Transient
	}
	return &syncline.Error{Code: p.Code, Class: class, Msg: p.Detail, Fix: p.Fix, Change: -1, Err: p.cause}
}

// ExitCode is the exit status of a command that ends with this problem: 4 if the server could not be reached or did not let
// the caller in, 3 if it does not take the configuration, 2 if its URL is none, else 1.
func (p *Problem) ExitCode() int {
	switch {
	case p.Code == codeServerInvalid:
		return 2
	case p.Code == codeConfigInvalid:
		return 3
	case p.Status == 0, p.Status == http.StatusUnauthorized, p.Status == http.StatusForbidden:
		return 4
	}
	return 1
}

// GetStatus and ContentType let huma write the problem.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is always that of problems.
func (p *Problem) ContentType(string) string { return problemType }

// problemOf turns an error of the engine into what the caller may know.
func problemOf(ctx context.Context, log *slog.Logger, err error) error {
	var invalid *InvalidConfig
	if errors.As(err, &invalid) {
		p := newProblem(http.StatusUnprocessableEntity, codeConfigInvalid, invalid.Error(), "")
		p.Fields = invalid.Faults
		return p
	}
	var known *syncline.Error
	if !errors.As(err, &known) {
		if ctx.Err() == nil {
			log.Error("request failed", "error", err)
		}
		return newProblem(http.StatusInternalServerError, codeInternal, "the request could not be carried out; the log says why", "")
	}
	return newProblem(statusOf(err, known), known.Code, known.Msg, known.Fix)
}

func statusOf(err error, known *syncline.Error) int {
	switch {
	case errors.Is(err, state.ErrNotFound):
		return http.StatusNotFound
	case known.Code == "state_full", known.Code == "log_full":
		return http.StatusInsufficientStorage
	case known.Class == syncline.Rejected:
		return http.StatusUnprocessableEntity
	case known.Class == syncline.Transient:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// asProblem is a huma transformer: it gives huma's own errors, those of validation, our shape.
func asProblem(_ huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := "request_invalid"
	switch e.Status {
	case http.StatusRequestEntityTooLarge:
		code = "request_too_large"
	case http.StatusUnsupportedMediaType:
		code = "media_type_unsupported"
	case http.StatusRequestTimeout:
		code = "request_timeout"
	case http.StatusInternalServerError:
		code = codeInternal
	}
	p := newProblem(e.Status, code, e.Detail, "")
	for _, d := range e.Errors {
		if d != nil {
			p.Fields = append(p.Fields, FieldFault{Location: d.Location, Message: d.Message})
		}
	}
	return p, nil
}

// write sends the problem without huma.
func (p *Problem) write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always have a JSON form
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the caller is gone
}
