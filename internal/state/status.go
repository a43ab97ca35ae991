package state

// TaskStatus is how a task is, in one word. What is stored of a task that is not simply done says more; see Public.
type TaskStatus string

// The status of a task. Each of them but pending, completed and cancelled needs a person.
const (
	// TaskPending waits: for its turn, its record, its next attempt, or an earlier task of its key.
	TaskPending TaskStatus = "pending"
	// TaskExecuting is in the batch that its target has now.
	TaskExecuting TaskStatus = "executing"
	TaskCompleted TaskStatus = "completed"
	TaskFailed    TaskStatus = "failed"
	TaskConflict  TaskStatus = "conflict"
	TaskCancelled TaskStatus = "cancelled"
)

// TaskStatuses are all of them.
var TaskStatuses = []TaskStatus{TaskPending, TaskExecuting, TaskCompleted, TaskFailed, TaskConflict, TaskCancelled}

// Public returns the task's status, and why it is pending or completed where there is more to say.
func (e *Exception) Public() (status TaskStatus, reason string) {
	return publicStatus(e.Status, e.Outcome)
}

func publicStatus(stored string, o Outcome) (TaskStatus, string) {
	switch stored {
	case StatusRetrying, StatusHeld, StatusReading:
		return TaskPending, stored
	case StatusFailed:
		return TaskFailed, ""
	case StatusConflict:
		return TaskConflict, ""
	case StatusCancelled:
		return TaskCancelled, ""
	}
	return o.Public()
}

// Public returns the status of a task of this outcome that is over; one that was parked says more in its own row.
func (o Outcome) Public() (status TaskStatus, reason string) {
	switch o {
	case Applied:
		return TaskCompleted, ""
	case Parked:
		return TaskPending, ""
	}
	return TaskCompleted, o.String()
}

// stored is what a choice by status and reason means for the stored rows: a condition on them, and its arguments. None is false where no
// stored row can be of it.
func (f *Filter) stored() (condition string, args []any, none bool) {
	switch f.Status {
	case "":
		if f.Reason == "" {
			return sqlTasksOpen, nil, false
		}
		for o, name := range outcomeNames {
			if f.Reason == name {
				return " AND status = 'resolved' AND outcome = ?", []any{o}, false
			}
		}
		return " AND status = ?", []any{f.Reason}, false
	case TaskPending:
		if f.Reason != "" {
			return " AND status = ?", []any{f.Reason}, false
		}
		return " AND status IN ('retrying', 'held', 'reading')", nil, false
	case TaskCompleted:
		for o, name := range outcomeNames {
			if f.Reason == name {
				return " AND status = 'resolved' AND outcome = ?", []any{o}, false
			}
		}
		return " AND status = 'resolved'", nil, f.Reason != ""
	case TaskExecuting:
		return "", nil, true
	}
	return " AND status = ?", []any{string(f.Status)}, f.Reason != ""
}
