package daemon

import (
	"context"

	"syncline/internal/alert"
)

// sourceSignals are of the logs, their disk, and what the sources' systems keep for us.
func (d *Daemon) sourceSignals(ctx context.Context) ([]alert.Signal, error) {
	var list []alert.Signal
	of := func(name, system string, value float64) {
		list = append(list, alert.Signal{Name: name, Labels: map[string]string{"system": system}, Value: value})
	}
	known := d.risks(ctx)
	for _, s := range d.set().sources {
		bounds, err := s.log.Bounds(ctx)
		if err != nil {
			return nil, err
		}
		of("log_bytes", s.system.Name, float64(bounds.Bytes))
		if r, ok := known[s.system.Name]; ok && r.Slot != "" {
			of("slot_wal_bytes", s.system.Name, float64(r.HeldBytes))
			of("slot_at_risk", s.system.Name, up(r.AtRisk()))
		}
	}
	free, measured, err := d.logs.FreeShare()
	if err != nil {
		return nil, err
	}
	if measured {
		list = append(list, alert.Signal{Name: "log_disk_free_ratio", Value: free})
	}
	return list, nil
}
