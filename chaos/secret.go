package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// secretsKept looks for the canaries in all that the program has printed, answered and stored.
func (w *world) secretsKept(ctx context.Context) error {
	look := func(where string, text []byte) {
		for _, s := range w.secrets {
			if bytes.Contains(text, []byte(s)) {
				w.watch.fail("secrets are told to nobody", "one is in %s", where)
			}
		}
	}
	for _, path := range []string{"/metrics", "/readyz", "/v1/status", "/v1/systems", "/v1/routes", "/v1/rules", "/v1/config", "/v1/tasks", "/v1/audit", "/v1/health", "/v1/alerts", "/v1/syncs", "/v1/tokens"} {
		text, err := w.fetch(ctx, path)
		if err != nil {
			return err
		}
		look(path, text)
	}
	for _, root := range []string{w.home, w.program.log, w.program.log + ".commands"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil //nolint:nilerr // a file may go while the program works
			}
			text, err := os.ReadFile(path)
			if err == nil && !strings.HasSuffix(path, ".blk") { // records, of which none is a secret
				look(path, text)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func sumOf(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}
