// Package ops is the HTTP API that operators and the command line use, and its client.
package ops

import (
	"context"
	"encoding/json"
	"time"

	"syncline/internal/health"
	"syncline/internal/state"
)

// Engine is what the API shows and steers. Its methods are called at once by many requests; they do not block on a target
// or a source. An error of class rejected is the caller's fault, one that wraps state.ErrNotFound names what does not exist.
type Engine interface {
	Alerts
	Schedules
	// Status tells how the process and its systems are. The summary of the routes is left to the API.
	Status(context.Context) (Status, error)
	// Routes are in the order of the configuration.
	Routes(context.Context) ([]RouteStatus, error)
	// ResumeRoute has a route that has stopped, or waits after an error, try again now. For one that works it does nothing.
	ResumeRoute(ctx context.Context, id string) error
	// ResumeSystem does the same for a system as a source, and for the routes that write to it.
	ResumeSystem(ctx context.Context, name string) error
	// AcceptGap has a source that has halted because changes are missing go on without them, and its records read again.
	AcceptGap(ctx context.Context, name string) error
	// Pauses returns what is paused.
	Pauses(context.Context) ([]Pause, error)
	// Pause holds back the routes of what is named, durably, and waits a while for the batches in hand.
	Pause(context.Context, []state.Pause) (Paused, error)
	// Unpause lifts pauses: all of them, or none where one of them is not there.
	Unpause(context.Context, []state.Pause) error
	// Tasks returns a page of tasks without their records, and the cursor of the next one.
	Tasks(context.Context, TaskQuery) ([]Task, string, error)
	// Task returns one task with its record: one that was simply done, or that its route has not come to, too.
	Task(ctx context.Context, id string) (Task, error)
	// ChosenRoutes checks the names of a choice, and returns the routes to its target; nil = it names none.
	ChosenRoutes(context.Context, Choice) ([]string, error)
	// SourceOf returns the system that the route reads, "" of one that is not there.
	SourceOf(route string) string
	// TaskEvents returns up to limit changes of tasks behind a number.
	TaskEvents(ctx context.Context, f state.EventFilter, after int64, limit int) ([]state.TaskEvent, error)
	// TaskEventBounds returns the numbers of the oldest change that is kept and of the newest that ever was.
	TaskEventBounds(context.Context) (first, last int64, err error)
	// WatchTasks tells of commits until stop is called.
	WatchTasks() (w *state.Watch, stop func())
	// Stats sums up a stretch of time.
	Stats(context.Context, StatsQuery) (Stats, error)
	// RetryTask has a pending task tried now.
	RetryTask(ctx context.Context, id, reason string) error
	// EditTask gives a task that waits another record, of which the JSON object names what is to differ, and has it tried.
	EditTask(ctx context.Context, id string, record json.RawMessage, reason string) error
	// Resolve has a person's decision about a conflict carried out, and returns the conflict as it is then.
	Resolve(ctx context.Context, id string, d Decision) (Conflict, error)
	// ResolveAll decides all open conflicts that are alike, up to MaxDecided, and tells what came of each.
	ResolveAll(ctx context.Context, m ManyConflicts) ([]DecidedConflict, error)
	// CancelTask gives a pending task up for good.
	CancelTask(ctx context.Context, id, reason string) error
	// RetryTasks has the chosen tasks that wait tried now, and tells of each whether it will be.
	RetryTasks(ctx context.Context, s Selection, reason string) (Chosen, error)
	// CancelTasks gives the chosen tasks that wait up for good, and tells of each whether it was.
	CancelTasks(ctx context.Context, s Selection, reason string) (Chosen, error)
	// Syncs returns a page of the runs, the newest first, and the cursor of the next one.
	Syncs(ctx context.Context, after string, limit int) ([]state.RunRow, string, error)
	// Sync returns one run.
	Sync(ctx context.Context, id string) (state.RunRow, error)
	// SyncProgress tells how far a run is.
	SyncProgress(state.RunRow) Progress
	// StartSync asks for a run and returns its id.
	StartSync(context.Context, SyncRequest) (string, error)
	// SteerSync pauses, resumes or cancels a run, and returns it.
	SteerSync(ctx context.Context, id, action string, s Steering) (state.RunRow, error)
	// DeleteMissing removes from targets what their source does not have any more, or counts it.
	DeleteMissing(context.Context, MissingRequest) (Missing, error)
	// Explain tells what became of one record, or of a draft what its rules would make of it. It reads the log for a bounded time, and the
	// targets.
	Explain(context.Context, ExplainDraft) (Explanation, error)
	// Replay has the records of a stretch of a log read again for a route, or tells what that would do.
	Replay(context.Context, ReplayRequest) (Replay, error)
	// Health makes a report of how everything is, Lag of how far behind the routes are.
	Health(context.Context) (health.Report, error)
	Lag(context.Context) (health.LagReport, error)
	// HealthChecks returns a page of what scheduled checks came to, the newest first, and the cursor of the next one.
	HealthChecks(ctx context.Context, after string, limit int) ([]HealthCheck, string, error)
	// StartVerification has targets compared with what rules make of their sources.
	StartVerification(context.Context, VerificationRequest) (Verification, error)
	// Verification returns one with its progress.
	Verification(ctx context.Context, id string) (Verification, error)
	// Verifications returns a page of them, the newest first, and the cursor of the next one.
	Verifications(ctx context.Context, after string, limit int) ([]Verification, string, error)
	// Differences returns a page of the records that a verification found to differ, and the cursor of the next one.
	Differences(ctx context.Context, id, after string, limit int) ([]Difference, string, error)
	// CancelVerification ends a verification; what it found is kept.
	CancelVerification(ctx context.Context, id string) error
	// Ready reports whether every system and route does its work, and why not. One that is paused does what it should.
	Ready(context.Context) (bool, []string)
}

// Status is how the process is.
type Status struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// UptimeSeconds is since Started.
	UptimeSeconds float64        `json:"uptime_seconds"`
	Systems       []SystemStatus `json:"systems" nullable:"false"`
	Routes        RouteSummary   `json:"routes"`
	// Pauses are what is paused, whether it holds a route back or not.
	Pauses []Pause `json:"pauses,omitempty" nullable:"false"`
	// Warnings are what an operator should know and what is no system's or route's: channels that take no alerts, and who can reach the
	// API, which the API adds.
	Warnings []string `json:"warnings,omitempty" nullable:"false"`
}

// Fault is an error that a person can act on.
type Fault struct {
	Code string `json:"code"`
	Text string `json:"text"`
	Fix  string `json:"fix,omitempty"`
}

// SystemStatus is how one system is.
type SystemStatus struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// State is running, starting, degraded, halted or, of a system that is only a target, unknown until a route needs it.
	State string    `json:"state" enum:"running,starting,degraded,halted,unknown"`
	Since time.Time `json:"since"`
	Error *Fault    `json:"error,omitempty"`
	// Warnings are what an operator should know and what does not stop the system: changes that are not captured.
	Warnings []string `json:"warnings,omitempty" nullable:"false"`
	// Log is set on a source.
	Log *LogStatus `json:"log,omitempty"`
	// Risk is set on a source whose system keeps something for it, once it has told what.
	Risk *SourceRisk `json:"risk,omitempty"`
	// Gap is what the source's log goes on without, until it was read again.
	Gap *DeclaredGap `json:"gap,omitempty"`
}

// LogStatus is what a source's log holds.
type LogStatus struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	Bytes int64  `json:"bytes"`
	// Position is the source's own name for where capture stands.
	Position string `json:"position"`
	// Commit is its commit position alone, which grows: a log sequence number, or the number of a change.
	Commit uint64 `json:"commit"`
	// Captured is the number of events since the process began, Rate their number per second lately.
	Captured int64   `json:"captured"`
	Rate     float64 `json:"rate"`
}

// The states of a route.
const (
	RouteRunning   = "running"
	RouteStarting  = "starting"
	RouteDegraded  = "degraded"
	RouteHalted    = "halted"
	RouteNeedsSync = "needs_sync"
	RouteDisabled  = "disabled"
	RoutePaused    = "paused"
)

// RouteStatus is how one route is.
type RouteStatus struct {
	ID     string   `json:"id"`
	Rules  []string `json:"rules" nullable:"false"`
	Source string   `json:"source"`
	Target string   `json:"target"`
	// State is one of the constants above, Since when it began.
	State string    `json:"state" enum:"running,starting,degraded,halted,needs_sync,paused,disabled"`
	Since time.Time `json:"since"`
	// Pauses hold the route back. One that still has a batch in hand, or has stopped by itself, is not yet in the state paused.
	Pauses []Pause `json:"pauses,omitempty" nullable:"false"`
	// Error says why a route is degraded, halted or needs a sync.
	Error *Fault `json:"error,omitempty"`
	// NextTry is when a degraded route tries again.
	NextTry *time.Time `json:"next_try,omitempty"`
	// Warnings are what an operator should know and what does not stop the route.
	Warnings []string `json:"warnings,omitempty" nullable:"false"`
	// Gap is what the route lacks of its log, until it was read again.
	Gap    *DeclaredGap `json:"gap,omitempty"`
	Cursor Place        `json:"cursor"`
	// LogEnd is the last entry of the source's log.
	LogEnd uint64 `json:"log_end"`
	// LagEvents is how many events of the log are not applied yet, LagSeconds the age of the oldest of them.
	LagEvents  int64   `json:"lag_events"`
	LagSeconds float64 `json:"lag_seconds"`
	// Rate is in events per second lately.
	Rate   float64      `json:"rate"`
	Counts state.Counts `json:"counts"`
	// Latencies are from the source's commit to the target's, in seconds.
	LatencyP50 float64 `json:"latency_p50_seconds"`
	LatencyP99 float64 `json:"latency_p99_seconds"`
	// Verified is what is known of the rules' targets from comparing them; empty = nothing.
	Verified []Verified `json:"verified,omitempty" nullable:"false"`
}

// Verified is what comparing a rule's target with its source has come to.
type Verified struct {
	Rule string `json:"rule"`
	// Records is how many the source had, Differences how many differ.
	Records     int64 `json:"records" doc:"How many records the source had."`
	Differences int64 `json:"differences" doc:"How many records differ, by the last verification of all records or the one that is under way."`
	Unsettled   int64 `json:"unsettled" doc:"Of how many records that verification could not tell, because they changed all the time or the route did not work."`
	// At is when the last verification of all records ended that could tell of any.
	At           *time.Time `json:"at,omitempty" doc:"When the last verification of all records ended that could tell of any."`
	Verification string     `json:"verification,omitempty"`
	// Lately is how many records were compared in the last LatelySeconds, and Share how large a part of all that is; 0 where the rule is not
	// compared all the time.
	Lately        int64   `json:"lately" doc:"How many records were compared lately, without those of which it could not be told, of a rule that is compared all the time."`
	LatelySeconds float64 `json:"lately_seconds"`
	Share         float64 `json:"share" doc:"How large a part of all records that is, from 0 to 1."`
}

// Place is a cursor: everything below (Seq, Index) of the log is done.
type Place struct {
	Log   string `json:"log"`
	Seq   uint64 `json:"seq"`
	Index int    `json:"index"`
	Epoch uint64 `json:"epoch"`
}

// RouteSummary counts the routes by state.
type RouteSummary struct {
	Total     int `json:"total"`
	Running   int `json:"running"`
	Starting  int `json:"starting"`
	Degraded  int `json:"degraded"`
	Halted    int `json:"halted"`
	NeedsSync int `json:"needs_sync"`
	Paused    int `json:"paused"`
	Disabled  int `json:"disabled"`
	// Parked tasks of all routes, and the lag of the route that is farthest behind.
	Parked     int64   `json:"parked"`
	LagEvents  int64   `json:"lag_events"`
	LagSeconds float64 `json:"lag_seconds"`
}

func summarize(routes []RouteStatus) RouteSummary {
	s := RouteSummary{Total: len(routes)}
	for i := range routes {
		r := &routes[i]
		switch r.State {
		case RouteRunning:
			s.Running++
		case RouteStarting:
			s.Starting++
		case RouteDegraded:
			s.Degraded++
		case RouteHalted:
			s.Halted++
		case RouteNeedsSync:
			s.NeedsSync++
		case RoutePaused:
			s.Paused++
		case RouteDisabled:
			s.Disabled++
		}
		s.Parked += r.Counts.Parked
		s.LagEvents = max(s.LagEvents, r.LagEvents)
		s.LagSeconds = max(s.LagSeconds, r.LagSeconds)
	}
	return s
}

// SyncRequest asks for records to be read again from their source, or for what is new at a polled one.
type SyncRequest struct {
	Source string `json:"source" minLength:"1" doc:"The system to read."`
	Entity string `json:"entity" minLength:"1" doc:"The entity to read."`
	Kind   string `json:"kind,omitempty" enum:"full,incremental,sweep" doc:"full (the default) reads records again. incremental asks a polled entity for what is new behind its watermark, sweep for records that are gone."`
	// Force is for sweeps only.
	Force bool `json:"force,omitempty" doc:"A sweep reports records as gone even where they are suspiciously many."`
	// Routes are the only ones that apply the records; none = every route of the entity.
	Routes []string `json:"routes,omitempty" doc:"The only routes that apply the records. Without any: every route of the entity."`
	// To are the only targets that get the records, by the names of systems or of routes.
	To []string `json:"to,omitempty" maxItems:"1000" doc:"The only targets that get the records, by the names of systems or of routes: another way to say routes."`
	// Where, FromKey and Rate are for all records only.
	Where   string `json:"where,omitempty" maxLength:"10000" doc:"Only records for which this expression of the rule language is true. It is evaluated on the rows that were read."`
	FromKey string `json:"from_key,omitempty" maxLength:"10000" doc:"Only records behind this key, in the order of the source."`
	Rate    int64  `json:"rate,omitempty" minimum:"0" doc:"Read so many rows a second at the most. Without it: as fast as live changes allow."`
	// Keys are the only records that are read; none = all.
	Keys []string `json:"keys,omitempty" maxItems:"10000" doc:"The only records to read, by their keys. Without any: all of them."`
}
