package demo

import (
	_ "embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"syncline"
	"syncline/internal/config"
)

//go:embed syncline.yaml
var configuration []byte

const (
	configFile = "syncline.yaml"
	// markFile tells a directory of the demo from one of another program.
	markFile = ".syncline-demo"
	// usualAPI is the port where commands look for a running syncline; anyAPI lets the system choose.
	usualAPI, anyAPI = "8484", "0"
)

// prepare makes the directory if it is missing and writes the configuration where there is none. A directory with anything
// else in it is left alone.
func prepare(dir string) error {
	unwritable := func(err error) error {
		return syncline.Errorf(syncline.Fatal, "directory_unwritable", "write to the demo's directory %s: %w", dir, err).
			WithFix("name a directory that you may write to with --dir")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unwritable(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return unwritable(err)
	}
	if _, err := os.Stat(filepath.Join(dir, markFile)); errors.Is(err, fs.ErrNotExist) && len(entries) > 0 {
		return syncline.Errorf(syncline.Fatal, "directory_foreign", "%s has files in it that are not the demo's", dir).
			WithFix("name a new or an empty directory with --dir")
	}
	if err := os.WriteFile(filepath.Join(dir, markFile), []byte("made by `syncline demo`; the whole directory can be removed\n"), 0o600); err != nil {
		return unwritable(err)
	}
	path := filepath.Join(dir, configFile)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	// Renamed into place, so that a file that is there is whole.
	err = os.WriteFile(path+".new", configuration, 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return unwritable(err)
	}
	return nil
}

// load reads the directory's configuration with what only this run knows: the ports and the partner's secret.
func load(dir, apiPort string, p *partner) (*config.Config, error) {
	given := map[string]string{"DEMO_API_PORT": apiPort, "DEMO_PARTNER_PORT": p.port(), "DEMO_PARTNER_SECRET": p.secret}
	c, problems := config.Load(filepath.Join(dir, configFile), func(name string) (string, bool) {
		if v, ok := given[name]; ok {
			return v, ok
		}
		return os.LookupEnv(name)
	})
	return c, problems.Err()
}
