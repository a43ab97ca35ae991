package redis

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"syncline"
	"syncline/internal/httpclient"
)

// classify says what an error of the server or the connection means. The server's text is not repeated beyond its first
// word: it may quote arguments, which are row values.
func classify(err error, doing string) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return syncline.Errorf(syncline.Transient, "redis_timeout", "%s: %w", doing, err)
	}
	var se *syncline.Error
	if errors.As(err, &se) {
		return err
	}
	var answer redis.Error
	if !errors.As(err, &answer) {
		why := httpclient.Outage(err)
		switch {
		case why != "":
		case errors.Is(err, redis.ErrClosed), errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
			why = ": " + err.Error()
		default: // the client's words have the answer in them
			why = ": its answer cannot be read as one of Redis"
		}
		e := syncline.Errorf(syncline.Transient, "redis_unreachable", "%s%s", doing, why).WithFix("bring the server back, or correct the url of the system")
		e.Err = err
		return e
	}
	is := func(prefix string) bool { return redis.HasErrorPrefix(err, prefix) }
	switch {
	case is("SYNCLINEFENCED"):
		return syncline.Errorf(syncline.Fatal, "fenced", "%s: another instance owns this slice", doing)
	case is("SYNCLINECURSORLOST"):
		return syncline.Errorf(syncline.Fatal, "cursor_lost", "%s: the cursor is gone from the Redis server", doing).
			WithFix("find out who removed it (FLUSHDB, eviction, another database), then `syncline sync SYSTEM/ENTITY --route ROUTE`")
	case redis.IsOOMError(err):
		return syncline.Errorf(syncline.Transient, "redis_oom", "%s: the Redis server is out of memory", doing).
			WithFix("raise maxmemory")
	case redis.IsLoadingError(err), redis.IsMasterDownError(err), redis.IsClusterDownError(err), redis.IsTryAgainError(err):
		return syncline.Errorf(syncline.Transient, "redis_loading", "%s: the Redis server is not ready", doing)
	case redis.IsReadOnlyError(err):
		return syncline.Errorf(syncline.Transient, "redis_readonly", "%s: the Redis server is a read-only replica", doing).
			WithFix("connect to the primary")
	case redis.IsAuthError(err), redis.IsPermissionError(err):
		return syncline.Errorf(syncline.Transient, "redis_auth", "%s: the Redis server refuses the user", doing).
			WithFix("check user, password and permissions: hashes, strings, sorted sets, scripts, INFO and TIME are needed; it is tried again every minute, and at once after `syncline resume ROUTE`").Patiently()
	case is("CROSSSLOT"), is("MOVED"):
		return syncline.Errorf(syncline.Fatal, "redis_cluster", "%s: the target's keys are not in one slot of the cluster", doing).
			WithFix("use one hash tag in all key templates")
	case is("WRONGTYPE"):
		return syncline.Errorf(syncline.Fatal, "redis_wrong_type", "%s: a key that begins with _syncline_ holds something else", doing).
			WithFix("use a database of its own, or remove that key")
	}
	word, _, _ := strings.Cut(answer.Error(), " ")
	if strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" { // no code of Redis
		word = "an error"
	}
	return syncline.Errorf(syncline.Transient, "redis_error", "%s: the Redis server answered %s", doing, word)
}
