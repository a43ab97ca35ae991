package redis

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"syncline"
)

// TestWhatTheClientSaysIsForDebugging: an operator learns of a server that is down by the error, and whoever looks closer by the log.
func TestWhatTheClientSaysIsForDebugging(t *testing.T) {
	defer LogTo(nil)
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		var text bytes.Buffer
		LogTo(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level})))
		if _, err := Open(t.Context(), Options{URL: "redis://:hunter2@127.0.0.1:1/0"}); syncline.CodeOf(err) != "redis_unreachable" {
			t.Fatalf("Open without a server = %v, want redis_unreachable", err)
		}
		got, want := text.String(), level == slog.LevelDebug
		if strings.Contains(got, `level=DEBUG msg="redis client" detail="redis: connection pool`) != want || (got != "") != want || strings.Contains(got, "hunter2") {
			t.Errorf("the log at level %s = %q, want the client's words: %t", level, got, want)
		}
	}
}
