package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"syncline/internal/timetable"
)

// scheduleSource is a schedule and where what other parts must agree with stands.
type scheduleSource struct {
	*Schedule
	at value
	// parts are where the parts of its timetable stand.
	parts map[timetable.Part]value
	// sync, mode, to and rules are where what is to be done stands.
	sync, mode *value
	to, rules  []value
}

func (l *loader) schedulesSection(v value) {
	if v.node.Tag == "!!null" {
		return
	}
	l.list(v, "schedules", false, l.schedule)
}

func (l *loader) schedule(v value) {
	s := &scheduleSource{at: v, parts: map[timetable.Part]value{}, Schedule: &Schedule{
		Timezone: "UTC", Misfire: "run_once", Overlap: "skip", Enabled: true}}
	l.cfg.Schedules = append(l.cfg.Schedules, s.Schedule)
	l.schedules = append(l.schedules, s)
	part := func(p timetable.Part, read func(value)) func(value) {
		return func(v value) { s.parts[p] = v; read(v) }
	}
	seen := l.object(v, "a schedule", fields{
		"id":       func(v value) { l.scheduleID(v, s) },
		"cron":     part(timetable.PartCron, func(v value) { s.Cron, _ = l.text(v) }),
		"every":    part(timetable.PartEvery, func(v value) { l.duration(v, &s.Every, timetable.Least) }),
		"timezone": part(timetable.PartZone, func(v value) { s.Timezone, _ = l.text(v) }),
		"jitter":   part(timetable.PartJitter, func(v value) { l.duration(v, &s.Jitter, 0) }),
		"misfire":  func(v value) { choose(&l.decoder, v, &s.Misfire, nil, "run_once", "skip") },
		"overlap":  func(v value) { choose(&l.decoder, v, &s.Overlap, nil, "skip", "queue") },
		"do":       func(v value) { l.do(v, s) },
		"enabled":  func(v value) { l.boolean(v, &s.Enabled) },
	}, nil)
	what := "the schedule"
	if s.ID != "" {
		what = "schedule " + s.ID
	}
	l.need(v, seen, what, "id", "do")
	_, cron := seen["cron"]
	every, both := seen["every"]
	switch {
	case cron && both:
		l.report(every, DuplicateKey, "give cron or every", "%s has a cron expression already", what)
	case !cron && !both:
		missing := v
		missing.path = v.field("cron")
		l.report(missing, MissingField, `cron: "0 30 2 * * *", or every: 15m`, "%s has neither cron nor every", what)
	case s.Cron != "" || s.Every > 0:
		l.checkTiming(s)
	}
}

func (l *loader) scheduleID(v value, s *scheduleSource) {
	l.name(v, &s.ID, ruleName, "letters, digits, ., _ and -, beginning with a letter or a digit")
	for _, other := range l.schedules {
		if other != s && other.ID == s.ID && s.ID != "" {
			l.report(v, DuplicateID, "", "a schedule %s is already declared in %s line %d", s.ID, other.at.doc.name, other.at.node.Line)
			return
		}
	}
}

// checkTiming reports what is wrong with the timetable, at the part that is.
func (l *loader) checkTiming(s *scheduleSource) {
	_, err := timetable.New(s.Timing())
	var wrong *timetable.Error
	if !errors.As(err, &wrong) {
		return
	}
	at, ok := s.parts[wrong.Part]
	if !ok {
		at = s.at
	}
	if wrong.Part == timetable.PartZone {
		if name := likelyZone(s.Timezone); name != "" {
			wrong.Fix = fmt.Sprintf("did you mean %q?", name)
		}
	}
	l.timingProblem(at, s.Cron, wrong)
}

// timingProblem reports what is wrong with a part of a timetable; cron is its expression.
func (l *loader) timingProblem(at value, cron string, wrong *timetable.Error) {
	code := BadSchedule
	if wrong.Part == timetable.PartEvery || wrong.Part == timetable.PartJitter {
		code = BadDuration
	}
	line, column := at.node.Line, at.node.Column
	if wrong.Part == timetable.PartCron && wrong.Offset > 0 {
		line, column = at.at(1, utf8.RuneCountInString(cron[:wrong.Offset])+1)
	}
	l.reportAt(at, line, column, code, wrong.Fix, "%s: %s", at.path, wrong.Msg)
}

// likelyZone returns the name of a time zone that was written in other letters, or with a space; "" = none.
func likelyZone(name string) string {
	parts := strings.Split(strings.ReplaceAll(strings.TrimSpace(name), " ", "_"), "/")
	for i, p := range parts {
		words := strings.Split(strings.ToLower(p), "_")
		for j, w := range words {
			if w != "" {
				words[j] = strings.ToUpper(w[:1]) + w[1:]
			}
		}
		parts[i] = strings.Join(words, "_")
	}
	for _, likely := range []string{strings.Join(parts, "/"), strings.ToUpper(name)} {
		if _, err := timetable.New(timetable.Spec{Every: time.Hour, Zone: likely}); err == nil && likely != name && likely != "" {
			return likely
		}
	}
	return ""
}

// do reads what is to be done.
func (l *loader) do(v value, s *scheduleSource) {
	sync, verify := &DoSync{}, &DoVerify{Repair: "off"}
	var kinds []string
	kind := func(name string, read func(value)) func(value) {
		return func(v value) { kinds = append(kinds, name); read(v) }
	}
	names := func(dst *[]string, at *[]value) func(value) {
		return func(v value) {
			if l.fieldName(v, dst); len(*dst) > len(*at) {
				*at = append(*at, v)
			}
		}
	}
	seen := l.object(v, "do", fields{
		"sync": kind("sync", func(v value) { s.sync = &v; l.syncedEntity(v, sync) }),
		"mode": func(v value) { s.mode = &v; choose(&l.decoder, v, &sync.Mode, nil, "full", "incremental", "sweep") },
		"to": func(v value) {
			l.list(v, "to", true, names(&sync.To, &s.to))
		},
		"verify": kind("verify", func(v value) { l.list(v, "verify", true, names(&verify.Rules, &s.rules)) }),
		"repair": func(v value) { choose(&l.decoder, v, &verify.Repair, nil, "off", "plan", "auto") },
		"health": kind("health", func(v value) { l.object(v, "health", fields{}, nil) }),
	}, nil)
	if len(kinds) != 1 {
		if l.isMapping(v) {
			l.report(v, BadValue, "{sync: crm/customer}, {verify: [RULE]} or {health: {}}", "%s must be one of sync, verify and health", v.path)
		}
		return
	}
	for name, of := range map[string]string{"mode": "sync", "to": "sync", "repair": "verify"} {
		if at, ok := seen[name]; ok && of != kinds[0] {
			l.report(at, UnknownKey, "", "%s is for %s", at.path, of)
		}
	}
	switch kinds[0] {
	case "sync":
		s.Do.Sync = sync
	case "verify":
		s.Do.Verify = verify
	default:
		s.Do.Health = true
	}
}

func (l *loader) syncedEntity(v value, d *DoSync) {
	text, ok := l.text(v)
	if !ok {
		return
	}
	system, entity, _ := strings.Cut(text, "/")
	if system == "" || entity == "" {
		l.report(v, BadValue, "system/entity, like crm/customer", "%s must name a system and an entity", v.path)
		return
	}
	d.Entity = Ref{system, entity}
}

// checkSchedule checks what a schedule names.
func (l *loader) checkSchedule(s *scheduleSource) {
	if s.ID == healthSchedule && !s.Do.Health {
		l.report(s.at, DuplicateID, "give it another id", "%s is the id of the check of the health", s.ID)
	}
	if s.Do.Sync != nil && s.Do.Sync.Entity.Name != "" {
		l.checkSync(s)
	}
	for i, v := range s.rules {
		if s.Do.Verify == nil {
			break
		}
		r := l.cfg.Rule(s.Do.Verify.Rules[i])
		switch {
		case r == nil:
			var ids []string
			for _, r := range l.cfg.Rules {
				ids = append(ids, r.ID)
			}
			l.report(v, UnknownRule, suggestName(v.node.Value, ids), "there is no rule %q", v.node.Value)
		case !r.Enabled:
			l.report(v, BadValue, "enable it, or take it out", "rule %s is disabled", r.ID)
		default:
			l.checkComparable(v, r, "take it out")
		}
	}
}

func (l *loader) checkSync(s *scheduleSource) {
	sys, d := l.checkSource(*s.sync, s.Do.Sync.Entity), s.Do.Sync
	if sys == nil || sys.Capture == nil {
		return
	}
	polled := sys.Capture.Mode == ModePoll
	at := cmp.Or(s.mode, s.sync)
	switch {
	case sys.Capture.Mode == ModePush:
		l.report(*s.sync, NotASource, "", "%s is pushed: its records cannot be read again", d.Entity)
		return
	case d.Mode == "" && polled:
		d.Mode = "incremental"
	case d.Mode == "":
		d.Mode = "full"
	case d.Mode != "full" && !polled:
		l.report(*at, BadValue, "mode: full; its changes come by themselves", "mode %s is for polled systems, and %s has mode %s", d.Mode, sys.Name, sys.Capture.Mode)
	}
	if d.Mode != "full" && len(s.to) > 0 {
		l.report(s.to[0], BadValue, "take it out", "to is for mode full: what is new is for every rule")
		return
	}
	for i, v := range s.to {
		l.checkReached(v, d.To[i], d.Entity)
	}
}

// checkReached wants a rule from the entity to the target.
func (l *loader) checkReached(v value, target string, from Ref) {
	var targets []string
	for _, r := range l.cfg.Rules {
		if to := r.Target(from.System); r.Enabled && slices.Contains(r.From, from) && !slices.Contains(targets, to) {
			targets = append(targets, to)
		}
	}
	if !slices.Contains(targets, target) {
		l.report(v, UnknownSystem, suggestName(target, targets), "no rule takes %s to %q", from, target)
	}
}
