// Package health judges how everything is: it turns what the journal, the routes and the sources say of themselves into one report with a
// level, the reasons for it, and what to do. It is pure: no clock, no I/O.
//
// The level follows results and progress, not what a goroutine believes of itself: a route that has something to do and does not get on is
// not healthy, and neither is a source that nothing is heard of.
package health

import (
	"time"
)

// Level is how something is, in one word.
type Level string

// The levels, from the best to the worst.
const (
	Healthy  Level = "healthy"
	Warning  Level = "warning"
	Critical Level = "critical"
)

// Number is the level for metrics and alerts: 0, 1 or 2.
func (l Level) Number() int {
	switch l {
	case Critical:
		return 2
	case Warning:
		return 1
	}
	return 0
}

// Worse returns the worse of two levels.
func (l Level) Worse(than Level) Level {
	if than.Number() > l.Number() {
		return than
	}
	return l
}

// Bounds are what a level allows. They are shares of the tasks that are completed, failed, in conflict or cancelled.
type Bounds struct {
	Success   float64 `json:"success"`   // at least
	Failed    float64 `json:"failed"`    // at most
	Conflicts float64 `json:"conflicts"` // at most
}

// Thresholds are what a report is judged by.
type Thresholds struct {
	// Healthy and Warning are what these levels allow; what neither does is critical.
	Healthy Bounds `json:"healthy"`
	Warning Bounds `json:"warning"`
	// FailedTasks, OpenConflicts and Slow are how many tasks may wait for a person, and how long a batch may take on average, before the
	// report recommends something.
	FailedTasks   int64         `json:"failed_tasks"`
	OpenConflicts int64         `json:"open_conflicts"`
	Slow          time.Duration `json:"slow"`
	Late          Late          `json:"late"`
	// Stalled is how long a route that has something to do may stand still, Silent how long nothing may be heard of a source that
	// speaks by itself.
	Stalled time.Duration `json:"stalled"`
	Silent  time.Duration `json:"silent"`
	// DiskFree is the share of the log's disk below which is a warning; below half of it is critical.
	DiskFree float64 `json:"disk_free"`
	// CanaryLate is how long a mark may take from a source to a target; 0 = none is sent.
	CanaryLate time.Duration `json:"-"`
}

// Late says which events that are not applied are late.
type Late struct {
	// After is how old such an event may be, Tasks how many older ones there may be before that is an alert.
	After time.Duration `json:"after"`
	Tasks int64         `json:"tasks"`
}

// Defaults are the thresholds that hold where nothing else is said.
func Defaults() Thresholds {
	return Thresholds{
		Healthy:     Bounds{Success: 0.95, Failed: 0.02, Conflicts: 0.01},
		Warning:     Bounds{Success: 0.90, Failed: 0.05, Conflicts: 0.03},
		FailedTasks: 10, OpenConflicts: 5, Slow: 5 * time.Second,
		Late:    Late{After: 5 * time.Minute, Tasks: 100},
		Stalled: time.Minute, Silent: time.Minute, DiskFree: 0.1,
	}
}

// Tasks are numbers of tasks by status, as they are now.
type Tasks struct {
	Read      int64 `json:"read" doc:"All tasks that routes came to: the sum of what follows."`
	Pending   int64 `json:"pending" doc:"Waiting again after their route came to them."`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Conflict  int64 `json:"conflict"`
	Cancelled int64 `json:"cancelled"`
}

// over are the tasks that the rates are shares of.
func (t *Tasks) over() int64 { return t.Completed + t.Failed + t.Conflict + t.Cancelled }

// Rates are shares of the tasks that are over. All are nil where there are none: nothing is divided by nothing.
type Rates struct {
	Success  *float64 `json:"success_rate" doc:"Completed tasks, of those that are completed, failed, in conflict or cancelled; null where there are none."`
	Failure  *float64 `json:"failure_rate" doc:"Failed tasks, of the same."`
	Conflict *float64 `json:"conflict_rate" doc:"Tasks in conflict, of the same."`
}

// Rates returns the tasks' shares.
func (t *Tasks) Rates() Rates {
	over := t.over()
	if over == 0 {
		return Rates{}
	}
	share := func(n int64) *float64 {
		rate := float64(n) / float64(over)
		return &rate
	}
	return Rates{share(t.Completed), share(t.Failed), share(t.Conflict)}
}

// level judges the tasks by their rates. Counts are compared, not quotients: 95 of 100 is 95 %.
func (t *Tasks) level(th *Thresholds) Level {
	over := float64(t.over())
	within := func(b *Bounds) bool {
		const slack = 1e-9 // of a share that binary fractions do not hit
		return float64(t.Completed) >= (b.Success-slack)*over && float64(t.Failed) <= (b.Failed+slack)*over &&
			float64(t.Conflict) <= (b.Conflicts+slack)*over
	}
	switch {
	case over == 0, within(&th.Healthy):
		return Healthy
	case within(&th.Warning):
		return Warning
	}
	return Critical
}
