package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// Config is a configuration that was applied, as it was written.
type Config struct {
	// Version counts the configurations from 1.
	Version int64
	Hash    string
	Files   []ConfigFile
	Applied time.Time
	By      string
}

// ConfigFile is a file of a configuration.
type ConfigFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// keptConfigs is how many configurations are remembered.
const keptConfigs = 20

// Config returns the configuration that was applied last; Version is 0 if there is none.
func (s *Store) Config(ctx context.Context) (c Config, err error) {
	err = s.read(ctx, "read the applied configuration", func(rows *sql.Rows) error {
		var files []byte
		var applied int64
		if err := rows.Scan(&c.Version, &c.Hash, &files, &applied, &c.By); err != nil {
			return err
		}
		c.Applied = fromMicros(applied)
		if err := json.Unmarshal(files, &c.Files); err != nil {
			return corrupt(err)
		}
		return nil
	}, sqlConfig)
	return c, err
}

// SaveConfig takes note that a configuration was applied. Doing it again for the same version changes nothing.
func (s *Store) SaveConfig(ctx context.Context, c Config) error {
	files, err := json.Marshal(c.Files)
	if err != nil {
		return err
	}
	return s.write(ctx, "note the applied configuration", func(ctx context.Context, w *writer) error {
		if _, err := w.exec(ctx, sqlSaveConfig, c.Version, c.Hash, string(files), micros(c.Applied), c.By); err != nil {
			return err
		}
		_, err := w.exec(ctx, sqlTrimConfigs, c.Version-keptConfigs)
		return err
	})
}
