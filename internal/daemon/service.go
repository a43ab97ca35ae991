package daemon

import (
	"syncline"
	"syncline/internal/config"
)

// httpSource returns what opens a source of type http: one whose events are pushed, or a service that is asked.
func httpSource(d *Daemon, s *source) (func() (syncline.Source, error), error) {
	if s.system.Capture.Mode == config.ModePoll {
		return polledSource(d, s)
	}
	return pushSource(d, s)
}
