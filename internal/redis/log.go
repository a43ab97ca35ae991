package redis

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// LogTo hands what the client library says about its connections to log, at debug level: what a route must know of it is an error
// of the call that it concerns. The library has one logger for the whole process, and without this one it writes to stderr by
// itself. nil = none.
func LogTo(log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	redis.SetLogger(clientLog{log})
}

type clientLog struct{ to *slog.Logger }

func (l clientLog) Printf(ctx context.Context, format string, v ...any) {
	if l.to.Enabled(ctx, slog.LevelDebug) {
		l.to.DebugContext(ctx, "redis client", "detail", fmt.Sprintf(format, v...))
	}
}
