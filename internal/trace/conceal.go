package trace

import (
	"context"
	"log/slog"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
)

const unread = "a variable of the environment for traces cannot be read and is not used"

// conceal has the SDK, of which a process has one, write to log what it cannot read. By itself it writes variables with their values to the standard
// error, those that are secrets too.
func conceal(log *slog.Logger) {
	otel.SetLogger(logr.FromSlogHandler(valueless{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { log.Warn(unread, "err", "OTEL_RESOURCE_ATTRIBUTES, or what the exporter is told") }))
}

// valueless is a handler that passes on the text of an error, which is the same each time, and nothing else.
type valueless struct{ log *slog.Logger }

func (n valueless) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (n valueless) Handle(_ context.Context, r slog.Record) error {
	n.log.Warn(unread, "err", r.Message)
	return nil
}

func (n valueless) WithAttrs([]slog.Attr) slog.Handler { return n }
func (n valueless) WithGroup(string) slog.Handler      { return n }
