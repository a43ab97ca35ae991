package daemon

import (
	"syncline"
)

// polledSource returns what opens a source that is polled.
func polledSource(_ *Daemon, s *source) (func() (syncline.Source, error), error) {
	return nil, syncline.Errorf(syncline.Fatal, "not_available", "system %s: capture mode poll is not available in this version", s.system.Name)
}
