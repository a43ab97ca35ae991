package apply

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"syncline"
	"syncline/internal/state"
)

// Values of state.Route.Run.
const (
	// RunInitial: the records that were there before come with the source's first copy, which the route was registered before.
	RunInitial = "initial"
	// runStart: the route asks for them itself where it begins.
	runStart = "start"
	// runSync: likewise, because an operator has it begin anew.
	runSync = "sync"
)

// TaskID derives the id of the task that is one event on one rule.
func TaskID(rule, source string, seq syncline.Seq, index int) string {
	return fmt.Sprintf("%s:%s:%d.%d", rule, source, seq, index)
}

// ParseTaskID is the reverse of TaskID. Names have no colons.
func ParseTaskID(id string) (rule, source string, seq syncline.Seq, index int, ok bool) {
	rest, at, ok := cutLast(id, ":")
	if !ok {
		return "", "", 0, 0, false
	}
	rule, source, ok = cutLast(rest, ":")
	s, i, dotted := strings.Cut(at, ".")
	n, err := strconv.ParseUint(s, 10, 64)
	index, indexErr := strconv.Atoi(i)
	ok = ok && dotted && err == nil && indexErr == nil && index >= 0 && TaskID(rule, source, syncline.Seq(n), index) == id
	return rule, source, syncline.Seq(n), index, ok
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+len(sep):], true
}

// runID derives the id of a run that a route asks for. The cursor is one that is in the state store before the route asks, so that
// asking again after a crash is the same run.
func runID(why, route, entity string, at syncline.Cursor) string {
	return fmt.Sprintf("%s-%s-%s-%d-%d.%d", why, route, entity, at.Epoch, at.Seq, at.Index)
}

// readID derives the id of the run that reads the records of these tasks. Asking again after a crash is the same run; a task that
// has to be read a second time asks anew.
func readID(route, entity string, tasks []state.Exception) string {
	h := fnv.New64a()
	for i := range tasks {
		if tasks[i].Status == state.StatusReading && tasks[i].Entity == entity {
			fmt.Fprintf(h, "%s@%d;", tasks[i].Task, tasks[i].Updated.UnixMicro()) //nolint:errcheck // a hash never fails
		}
	}
	return fmt.Sprintf(state.ReadRun+"%s-%s-%016x", route, entity, h.Sum64())
}
