package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"syncline/internal/alert"
)

// TestSignalsAreDescribed: each signal that a part gives is one that rules can name, with the labels that it may have.
func TestSignalsAreDescribed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm := database(t, filepath.Join(dir, "crm.db"))
	database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER)`)
	d := open(t, load(t, dir, conflicts))
	defer closeDaemon(t, d)
	kinds := alert.Kinds()
	for _, s := range d.signals(t.Context()) {
		i := slices.IndexFunc(kinds, func(k alert.Kind) bool { return k.Name == s.Name })
		if i < 0 {
			t.Errorf("nobody knows the signal %s", s.Name)
			continue
		}
		for label := range s.Labels {
			if !slices.Contains(kinds[i].Labels, label) {
				t.Errorf("%s has the label %s, which is not among %v", s.Name, label, kinds[i].Labels)
			}
		}
	}
}

// TestSignalsOutliveAFailure: what could not be read is what it was.
func TestSignalsOutliveAFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	crm := database(t, filepath.Join(dir, "crm.db"))
	database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER)`)
	d := open(t, load(t, dir, conflicts))
	defer closeDaemon(t, d)
	before := d.signals(t.Context())
	ended, stop := context.WithCancelCause(t.Context())
	stop(errors.New("no answer"))
	if after := d.signals(ended); len(before) == 0 || len(after) != len(before) {
		t.Errorf("signals = %v, want those of before: %v", after, before)
	}
}
