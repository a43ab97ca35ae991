package enrich

import (
	"context"
	"log/slog"

	"syncline"
	"syncline/internal/tablefile"
	"syncline/internal/transform"
)

// file looks into a file. All records of a question see one state of it.
type file struct{ *tablefile.File }

func newFile(step transform.Enrich, log *slog.Logger) (file, error) {
	f, err := tablefile.Open(step.Table())
	if err != nil {
		return file{}, syncline.Errorf(syncline.Fatal, "bad_step", "%w", err)
	}
	f.LogTo(log)
	return file{f}, nil
}

func (f file) close() error { return nil }

func (f file) ask(_ context.Context, keys []syncline.Value) (map[string]found, error) {
	rows := f.Rows()
	answers := make(map[string]found, len(keys))
	for _, k := range keys {
		answers[textOf(k)] = found{values: rows.Find(k)}
	}
	return answers, nil
}
