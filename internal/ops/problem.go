package ops

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"syncline"
	"syncline/internal/problem"
	"syncline/internal/state"
)

// Problem is an error as the API gives it and as the client returns it.
type Problem = problem.Problem

// codeInternal stands for an error that is none of the caller's business; the log has it.
const codeInternal = "internal"

// problemOf turns an error of the engine into what the caller may know.
func problemOf(ctx context.Context, log *slog.Logger, err error) error {
	var invalid *InvalidConfig
	if errors.As(err, &invalid) {
		p := problem.New(http.StatusUnprocessableEntity, problem.CodeConfigInvalid, invalid.detail(), "")
		p.Fields = invalid.Faults
		return p
	}
	var failed *CheckFailed
	if errors.As(err, &failed) {
		p := problem.New(http.StatusUnprocessableEntity, problem.CodeCheckFailed, failed.detail(), "correct what is listed")
		p.Fields = failed.Faults
		return p
	}
	var known *syncline.Error
	if !errors.As(err, &known) {
		if ctx.Err() == nil {
			log.Error("request failed", "error", err)
		}
		return problem.New(http.StatusInternalServerError, codeInternal, "the request could not be carried out; the log says why", "")
	}
	return problem.New(statusOf(err, known), known.Code, known.Msg, known.Fix)
}

func statusOf(err error, known *syncline.Error) int {
	switch {
	case errors.Is(err, state.ErrNotFound):
		return http.StatusNotFound
	case known.Code == "state_full", known.Code == "log_full":
		return http.StatusInsufficientStorage
	case known.Code == "conflict_moved", known.Code == "conflict_over", known.Code == "config_stale", known.Code == "config_busy":
		return http.StatusConflict
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
	code, fix := "request_invalid", ""
	switch e.Status {
	case http.StatusRequestEntityTooLarge:
		code = "request_too_large"
	case http.StatusUnsupportedMediaType:
		code, fix = "media_type_unsupported", "send Content-Type: application/json"
	case http.StatusRequestTimeout:
		code = "request_timeout"
	case http.StatusInternalServerError:
		code = codeInternal
	}
	p := problem.New(e.Status, code, e.Detail, fix)
	for _, d := range e.Errors {
		if d != nil {
			p.Fields = append(p.Fields, problem.Field{Location: d.Location, Message: d.Message})
		}
	}
	return p, nil
}
