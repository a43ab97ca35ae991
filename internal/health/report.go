package health

import (
	"time"

	"syncline"
)

// Input is what a report is made of.
type Input struct {
	// From and To bound the time that Tasks and Routes' tasks were counted in, Since is set where the journal does not go back to From.
	From, To time.Time
	Since    *time.Time
	Tasks    Tasks
	// Execution is how long the batches of the tasks took on average; nil where there was none.
	Execution *time.Duration
	Routes    []Route
	Sources   []Source
	// Waiting are the tasks that wait now, however old, by rule and error.
	Waiting []Waiting
	// DiskFree is the share of the logs' disk that is free; nil where that cannot be measured.
	DiskFree *float64
	// Differing are the rules whose last whole verification found differences, Schedules those of whose runs something went wrong.
	Differing []Differing
	Schedules []Schedule
}

// Route is what is known of a route.
type Route struct {
	ID, Source, Target string
	// Rules are those that it carries.
	Rules []string
	// State is the route's own word for itself; Since when it began.
	State string
	Since time.Time
	// ErrorCode, ErrorClass and ErrorText say why it does not work, ErrorFix the way out; "" where it does.
	ErrorCode, ErrorClass, ErrorText, ErrorFix string
	// Paused: an operator holds it back. Stopped: it waits for a person. Degraded: it tries on.
	Paused, Stopped, Degraded bool
	// Still is for how long it has had something to do and has not got on; 0 where it does.
	Still time.Duration
	Tasks Tasks
	// Execution is as above.
	Execution *time.Duration
	Lag       Lag
	// Canary is how long the last mark took through it, or the one under way so far; nil where none was sent.
	Canary *time.Duration
	// Keys is how many records wait in it.
	Keys int64
}

// Source is what is known of a system that is captured.
type Source struct {
	Name, Type string
	State      string
	Since      time.Time
	// ErrorCode, ErrorClass and ErrorText say why it does not work, ErrorFix the way out; "" where it does.
	ErrorCode, ErrorClass, ErrorText, ErrorFix string
	// Stopped: it waits for a person. Degraded: it tries on. Starting: it has not begun.
	Stopped, Degraded, Starting bool
	// Quiet is for how long nothing was heard of it, where it speaks by itself; nil where it does not, or is not open.
	Quiet    *time.Duration
	LogBytes int64
	// Risk is what it holds for us; nil where it holds nothing.
	Risk *Risk
}

// Waiting is a number of tasks that wait for the same reason.
type Waiting struct {
	Route, Target, Rule string
	// Status is failed, conflict, retrying, held or reading.
	Status string
	// Class and Code are the error's.
	Class, Code string
	Tasks       int64
}

// Differing is a rule whose target does not hold what it makes of its source.
type Differing struct {
	Rule, Target string
	Records      int64
	// Verification has found them. MaxRepair is the limit that a repair needs, where it would be refused without; else 0.
	Verification string
	MaxRepair    int64
}

// Schedule is timed work, with how many runs have not come, or failed, since the last that was done.
type Schedule struct {
	ID             string
	Missed, Failed int64
}

// Risk is what a source's system keeps for us, and what may become of it.
type Risk struct {
	Slot       string  `json:"slot,omitempty" doc:"The replication slot; missing where there is none."`
	SlotState  string  `json:"slot_state,omitempty" doc:"reserved, extended, unreserved, lost or missing."`
	Reason     string  `json:"reason,omitempty" doc:"The system's own word for why the slot was lost."`
	Active     bool    `json:"active" doc:"Whether the slot is read."`
	HeldBytes  int64   `json:"held_bytes" doc:"What the system keeps for this source and could otherwise remove."`
	SafeBytes  *int64  `json:"safe_bytes" doc:"How much more may be written before it removes what is needed; null where nothing bounds it."`
	LagBytes   int64   `json:"lag_bytes" doc:"How much was written behind what the source has confirmed."`
	LagSeconds float64 `json:"lag_seconds" doc:"How long what was written takes until it is confirmed, as the system sees it; 0 where it has not measured that lately."`
	AtRisk     bool    `json:"at_risk" doc:"Whether something that is needed was lost, or is about to be."`
}

// RiskOf is the risk in the report's words.
func RiskOf(r *syncline.SourceRisk) *Risk {
	return &Risk{Slot: r.Slot, SlotState: string(r.State), Reason: r.Reason, Active: r.Active, HeldBytes: r.HeldBytes, SafeBytes: r.SafeBytes, LagBytes: r.LagBytes,
		LagSeconds: r.Lag.Seconds(), AtRisk: r.AtRisk()}
}

// Report is how everything is.
type Report struct {
	Level Level     `json:"level" enum:"healthy,warning,critical"`
	At    time.Time `json:"at"`
	From  time.Time `json:"from"`
	// Since is set where the journal does not go back to From any more.
	Since *time.Time `json:"since,omitempty" doc:"Set where the journal does not go back to from any more: what is counted begins here."`
	// Notes are what a reader should know and what is no trouble.
	Notes []string `json:"notes" nullable:"false"`
	Tasks Tasks    `json:"tasks"`
	Rates
	MeanExecution *float64 `json:"mean_execution_seconds" doc:"How long the batches of the tasks took on average; null where there was none."`
	Waiting       Waits    `json:"waiting"`
	Lag           LagTotal `json:"lag"`

	Recommendations []Recommendation `json:"recommendations" nullable:"false" doc:"What is not as it should be, the worst first, and what to do."`
	Routes          []RouteHealth    `json:"routes" nullable:"false"`
	Sources         []SourceHealth   `json:"sources" nullable:"false"`
	DiskFree        *float64         `json:"log_disk_free" doc:"The share of the logs' disk that is free, 0 to 1; null where that cannot be measured."`
}

// Waits counts the tasks that wait now, however old they are.
type Waits struct {
	Failed   int64 `json:"failed"`
	Conflict int64 `json:"conflict"`
	Retrying int64 `json:"retrying"`
	Held     int64 `json:"held"`
	Reading  int64 `json:"reading"`
	Keys     int64 `json:"keys" doc:"Records whose tasks these are: their keys are parked."`
}

func (w *Waits) add(one *Waiting) {
	switch one.Status {
	case "failed":
		w.Failed += one.Tasks
	case "conflict":
		w.Conflict += one.Tasks
	case "retrying":
		w.Retrying += one.Tasks
	case "held":
		w.Held += one.Tasks
	case "reading":
		w.Reading += one.Tasks
	}
}

// What a route's breaker is: open while its target is left alone.
const (
	BreakerClosed = "closed"
	BreakerOpen   = "open"
)

// RouteHealth is how a route is.
type RouteHealth struct {
	ID     string   `json:"id"`
	Source string   `json:"source"`
	Target string   `json:"target"`
	Rules  []string `json:"rules" nullable:"false"`
	Level  Level    `json:"level" enum:"healthy,warning,critical"`
	State  string   `json:"state"`
	// Breaker is open while the target does not answer, or has stopped the route.
	Breaker string `json:"breaker" enum:"closed,open" doc:"open while the target does not answer and is tried again, or the route has stopped."`
	Tasks   Tasks  `json:"tasks"`
	Rates
	MeanExecution *float64 `json:"mean_execution_seconds"`
	Waiting       Waits    `json:"waiting"`
	LagEvents     int64    `json:"lag_events"`
	LagSeconds    float64  `json:"lag_seconds"`
	Late          int64    `json:"late" doc:"Events that it has not applied and that are older than the threshold."`
	// Still is for how long it should have got on and has not.
	Canary *float64 `json:"canary_seconds" doc:"How long the last mark took from the source to the target, or the one under way so far; null without health.canary."`
	Still  float64  `json:"still_seconds" doc:"For how long the route has had something to do and has not got on; 0 where it does."`
}

// SourceHealth is how a source is.
type SourceHealth struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Level    Level    `json:"level" enum:"healthy,warning,critical"`
	State    string   `json:"state"`
	Quiet    *float64 `json:"quiet_seconds" doc:"How long ago the source was last heard of; null where it does not speak by itself, or is not open."`
	LogBytes int64    `json:"log_bytes"`
	Risk     *Risk    `json:"risk,omitempty" doc:"What the source holds for us."`
}
