// Package config turns Syncline's YAML file into a validated Config. Everything that can be known to be wrong without
// connecting to anything is found here, all of it at once, each problem with its place, a stable code and a way out.
package config

import (
	"slices"
	"time"

	"syncline"
	"syncline/internal/alert"
	"syncline/internal/conflict"
	"syncline/internal/health"
	"syncline/internal/rule"
	"syncline/internal/transform"
	"syncline/internal/trial"
	"syncline/internal/verify"
)

// Config is a whole, valid configuration: every default is filled in, every reference resolved, every path absolute if the
// configuration's own path was.
type Config struct {
	Log    Log    `json:"log"`
	State  State  `json:"state"`
	HTTP   HTTP   `json:"http"`
	Audit  Audit  `json:"audit"`
	Health Health `json:"health"`
	// Traces is nil where none are sent.
	Traces  *Traces   `json:"traces,omitempty"`
	Systems []*System `json:"systems"` // in the order of the file
	Rules   []*Rule   `json:"rules"`   // in the order of the file
	// Channels are where alerts are sent, in the order of the file.
	Channels []*Channel `json:"channels,omitempty"`
	// Alerts are the rules that alerts come of: the built-in ones where there is a channel, then those of the file.
	Alerts []*alert.Spec `json:"alerts,omitempty"`
	// Schedules are in the order of the file; those that nobody wrote down come last.
	Schedules []*Schedule `json:"schedules,omitempty"`
	// RulesGiven: there is a list of rules, be it empty.
	RulesGiven bool `json:"-"`
}

// System returns the system of this name, or nil.
func (c *Config) System(name string) *System {
	for _, s := range c.Systems {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Rule returns the rule of this id, or nil.
func (c *Config) Rule(id string) *Rule {
	for _, r := range c.Rules {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// Log is where and how long events are kept.
type Log struct {
	Dir      string        `json:"dir"`
	Retain   time.Duration `json:"retain"`
	MaxBytes int64         `json:"max_bytes"`
	OnFull   OnFull        `json:"on_full"`
}

// OnFull is what happens at Log.MaxBytes.
type OnFull string

const (
	// OnFullRelease takes its hold from the route that is farthest behind.
	OnFullRelease OnFull = "release"
	// OnFullPause stops the sources.
	OnFullPause OnFull = "pause"
)

// State is the state store.
type State struct {
	// Path is the SQLite file.
	Path string `json:"path"`
}

// HTTP is the API's listener.
type HTTP struct {
	// Listen is an address with a port; port 0 lets the system choose.
	Listen string `json:"listen"`
	// TLS is nil for none.
	TLS *TLS `json:"tls,omitempty"`
	// Rate bounds the requests of one caller a second, but for events.
	Rate int `json:"rate"`
	// Concurrency bounds the requests that are answered at once.
	Concurrency int `json:"concurrency"`
}

// TLS are the files of a certificate with its chain and of its key. They are read again when they change.
type TLS struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// Audit is the log of who changed what.
type Audit struct {
	// Retain is how long calls are kept.
	Retain time.Duration `json:"retain"`
}

// Health says how it is judged how everything is.
type Health struct {
	// Window is how far back the rates of a report look.
	Window time.Duration `json:"window"`
	// Every is how often the health is checked where no schedule does that; where it is 0, Cron says when.
	Every time.Duration `json:"every,omitempty"`
	Cron  string        `json:"cron,omitempty"`
	health.Thresholds
	// Canary is nil for none.
	Canary *Canary `json:"canary,omitempty"`
}

// Traces say where to tell how changes went.
type Traces struct {
	// Endpoint is the URL of a collector.
	Endpoint Secret `json:"endpoint"`
	// Ratio is the share of what is told.
	Ratio float64 `json:"ratio"`
}

// Canary is a mark that is sent through sources and routes to see how long it takes.
type Canary struct {
	Every time.Duration `json:"every"`
	// Late is how long it may take.
	Late time.Duration `json:"late"`
	// Sources are the systems that it is sent through.
	Sources []string `json:"sources"`
}

// Ref names an entity of a source ("crm/customer") or an object of a target ("warehouse/dim_customer").
type Ref struct {
	System string `json:"system"`
	Name   string `json:"name,omitempty"`
}

func (r Ref) String() string {
	if r.Name == "" {
		return r.System
	}
	return r.System + "/" + r.Name
}

// Rule takes events of entities to one object of a target.
type Rule struct {
	ID string `json:"id"`
	// From are one or more entities, each once.
	From []Ref `json:"from"`
	// Between is set for a two-way rule, whose sides From are; it has no To.
	Between *Between `json:"between,omitempty"`
	// To is the target; only a webhook can do without a name.
	To        Ref                   `json:"to"`
	Create    bool                  `json:"create"`
	Start     Start                 `json:"start"`
	Schema    syncline.SchemaPolicy `json:"schema"`
	Match     rule.Spec             `json:"match"`
	Transform []transform.Step      `json:"transform,omitempty"`
	On        On                    `json:"on"`
	// Conflict is nil where the target is a mirror.
	Conflict *conflict.Policy `json:"conflict,omitempty"`
	Retry    Retry            `json:"retry"`
	Batch    Batch            `json:"batch"`
	Enabled  bool             `json:"enabled"`
	// Tests are what `syncline rules test` runs; they have nothing to do with what the rule does.
	Tests []trial.Case `json:"-"`
	// Group names the rules that move together as one route; "" = a route of its own.
	Group string `json:"group,omitempty"`
	// Guarded: another route writes the same table, or did and may do so again, so that each record must keep the order of its newest
	// change.
	Guarded bool `json:"guarded,omitempty"`
	// Verify says how the rule's target is compared without being asked to; nil = it is not.
	Verify *Verify `json:"verify,omitempty"`
}

// Verify is how a rule's target is compared with what the rule makes of its source.
type Verify struct {
	// Rate is how many records a second are compared all the time; 0 = none.
	Rate int `json:"rate,omitempty"`
	// Repair is what is then done about differences; "" = nothing.
	Repair verify.Repair `json:"repair,omitempty"`
	// MaxRepair bounds what any repair of the rule sends; nil = verify.DefaultLimit.
	MaxRepair *verify.Limit `json:"max_repair,omitempty"`
}

// Sources lists the rule's source systems, each once, in its order.
func (r *Rule) Sources() []string {
	var names []string
	for _, ref := range r.From {
		if !slices.Contains(names, ref.System) {
			names = append(names, ref.System)
		}
	}
	return names
}

// Target names the system that the rule writes records of this source system to.
func (r *Rule) Target(source string) string {
	for i := range r.From {
		if r.Between != nil && r.From[i].System != source {
			return r.From[i].System
		}
	}
	return r.To.System
}

// Writes reports whether the rule writes to the system.
func (r *Rule) Writes(system string) bool {
	return slices.ContainsFunc(r.Sources(), func(source string) bool { return r.Target(source) == system })
}

// Route names the route that carries the rule for one of its source systems.
func (r *Rule) Route(system string) string {
	switch {
	case r.Group != "":
		return r.Group
	case len(r.Sources()) > 1:
		return r.ID + "@" + system
	}
	return r.ID
}

// Start is where a route that was never known begins.
type Start string

const (
	// StartFull copies the entity first.
	StartFull Start = "full"
	// StartNow begins at the log's end.
	StartNow Start = "now"
	// StartEarliest begins with the first event that the log holds.
	StartEarliest Start = "earliest"
)

// On says what special events do to the target's record.
type On struct {
	Deleted  Action `json:"deleted"`
	Archived Action `json:"archived"`
	Merged   Action `json:"merged"`
	Left     Action `json:"left"`
	// Marks are what is noted of records that stay, at most one for each event.
	Marks []Mark `json:"marks,omitempty"`
}

// Mark is a note in a column of the target of what became of a record that stays there.
type Mark struct {
	// On is deleted, archived, merged or left.
	On     string `json:"on"`
	Column string `json:"column"`
	// Kind is the column's.
	Kind syncline.Kind `json:"kind"`
	// Value is a constant; where it is nil, Expression over event gives the value.
	Value      *transform.Constant `json:"value,omitempty"`
	Expression string              `json:"expression,omitempty"`
	// Live is what the column has in a record that is there.
	Live transform.Constant `json:"live"`
}

// Mark returns what is noted of such records; nil where nothing is.
func (o *On) Mark(event string) *Mark {
	for i := range o.Marks {
		if o.Marks[i].On == event {
			return &o.Marks[i]
		}
	}
	return nil
}

// Action is what becomes of a record.
type Action string

const (
	// ActionHard removes the record.
	ActionHard Action = "hard"
	// ActionSoft leaves the record and notes what became of it; an archived one is written as it now is, with a note or without.
	ActionSoft Action = "soft"
	// ActionUpdate writes an archived record as it now is.
	ActionUpdate Action = "update"
	// ActionIgnore leaves the record as it was.
	ActionIgnore Action = "ignore"
	// ActionRedirect removes the merged record in favour of the surviving one, or leaves it with a note.
	ActionRedirect Action = "redirect"
	// ActionDelete does with a merged record what is done with a deleted one.
	ActionDelete Action = "delete"
)

// Retry says how often a rejected record is tried, and how long to wait in between.
type Retry struct {
	// Max counts rejections only: a system that is down is tried for as long as it takes.
	Max      int           `json:"max"`
	Delay    time.Duration `json:"delay"`
	MaxDelay time.Duration `json:"max_delay"`
}

// Batch bounds what is applied at once.
type Batch struct {
	MaxRows int `json:"max_rows"`
	// MaxWait: how long a write that has room waits for what is in the log already. A route at the log's end does not.
	MaxWait time.Duration `json:"max_wait"`
}
