package config

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"syncline/internal/health"
	"syncline/internal/timetable"
)

func (l *loader) healthSection(v value) {
	c := &l.cfg.Health
	th := &c.Thresholds
	seen := l.object(v, "health", fields{
		"window":         func(v value) { l.duration(v, &c.Window, time.Minute) },
		"every":          l.healthEvery,
		"healthy":        func(v value) { l.bounds(v, &th.Healthy) },
		"warning":        func(v value) { l.bounds(v, &th.Warning) },
		"failed_tasks":   func(v value) { l.count(v, &th.FailedTasks) },
		"open_conflicts": func(v value) { l.count(v, &th.OpenConflicts) },
		"slow":           func(v value) { l.duration(v, &th.Slow, time.Millisecond) },
		"late":           l.lateSection,
		"stalled":        func(v value) { l.duration(v, &th.Stalled, 10*time.Second) },
		"silent":         func(v value) { l.duration(v, &th.Silent, 20*time.Second) },
		"disk_free":      func(v value) { l.percent(v, &th.DiskFree) },
		"canary":         l.canarySection,
	}, nil)
	if at, ok := seen["warning"]; ok || seen["healthy"].node != nil {
		if !ok {
			at = seen["healthy"]
		}
		if th.Warning.Success > th.Healthy.Success || th.Warning.Failed < th.Healthy.Failed || th.Warning.Conflicts < th.Healthy.Conflicts {
			l.report(at, BadValue, "", "what is a warning must allow all that is healthy")
		}
	}
}

// healthEvery reads an interval or a cron expression.
func (l *loader) healthEvery(v value) {
	c := &l.cfg.Health
	text, ok := l.text(v)
	if !ok {
		return
	}
	if len(strings.Fields(text)) == 1 && !strings.HasPrefix(text, "@") {
		l.duration(v, &c.Every, 10*time.Second)
		return
	}
	c.Every, c.Cron = 0, text
	_, err := timetable.New(timetable.Spec{Cron: text})
	var wrong *timetable.Error
	if errors.As(err, &wrong) {
		l.timingProblem(v, text, wrong)
	}
}

func (l *loader) bounds(v value, dst *health.Bounds) {
	l.object(v, v.path, fields{
		"success":   func(v value) { l.percent(v, &dst.Success) },
		"failed":    func(v value) { l.percent(v, &dst.Failed) },
		"conflicts": func(v value) { l.percent(v, &dst.Conflicts) },
	}, nil)
}

func (l *loader) lateSection(v value) {
	th := &l.cfg.Health.Thresholds
	l.object(v, "health.late", fields{
		"after": func(v value) { l.duration(v, &th.Late.After, time.Second) },
		"tasks": func(v value) { l.count(v, &th.Late.Tasks) },
	}, nil)
}

func (l *loader) canarySection(v value) {
	c := &Canary{Every: time.Minute, Late: time.Minute}
	l.cfg.Health.Canary, l.canary = c, v
	l.object(v, "health.canary", fields{
		"every": func(v value) { l.duration(v, &c.Every, 10*time.Second) },
		"late":  func(v value) { l.duration(v, &c.Late, time.Second) },
		"sources": func(v value) {
			l.list(v, v.path, false, func(v value) {
				if name, ok := l.text(v); ok {
					c.Sources, l.canaries = append(c.Sources, name), append(l.canaries, v)
				}
			})
		},
	}, nil)
}

// checkCanary: a canary is a logical message, which only a PostgreSQL source brings.
func (l *loader) checkCanary() {
	c := l.cfg.Health.Canary
	if c == nil || l.only != "" {
		return
	}
	if len(c.Sources) == 0 {
		l.report(l.canary, MissingField, "sources: [crm]", "health.canary names no sources")
	}
	l.cfg.Health.CanaryLate = c.Late
	for i, name := range c.Sources {
		at := l.canaries[i]
		switch sys := l.cfg.System(name); {
		case sys == nil:
			l.report(at, UnknownSystem, "", "no system has the name %q", name)
		case sys.Capture == nil:
			l.report(at, NotASource, "", "%s is not a source", name)
		case sys.Type != TypePostgres || sys.Capture.Mode != ModeCDC:
			l.report(at, BadValue, "", "%s cannot carry a canary: only a source of type postgres with mode: cdc can", name)
		}
	}
}

func (l *loader) tracesSection(v value) {
	c := &Traces{Ratio: 0.01}
	l.cfg.Traces = c
	seen := l.object(v, "traces", fields{
		"endpoint": func(v value) {
			before := len(l.problems)
			l.url(v, &c.Endpoint, "http", "https")
			if u, err := url.Parse(c.Endpoint.Reveal()); err == nil && len(l.problems) == before && (u.User != nil || u.RawQuery != "") {
				l.report(v, BadURL, "headers for the collector are read from OTEL_EXPORTER_OTLP_HEADERS", "%s has a user or a query, which no collector would be sent", v.path)
			}
		},
		"ratio": func(v value) { l.percent(v, &c.Ratio) },
	}, nil)
	l.need(v, seen, "traces", "endpoint")
}

// count reads a number of things.
func (l *loader) count(v value, dst *int64) {
	n := int(*dst)
	l.integer(v, &n, 0, 1<<30)
	*dst = int64(n)
}

// percent reads a share, written as a percentage.
func (d *decoder) percent(v value, dst *float64) {
	text, _, ok := d.scalar(v, "a percentage")
	if !ok {
		return
	}
	number, isPercent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || !isPercent:
		d.report(v, BadValue, "95%", "%s must be a percentage", v.path)
	case n < 0 || n > 100:
		d.report(v, BadValue, "", "%s must be from 0%% to 100%%", v.path)
	default:
		*dst = n / 100
	}
}
