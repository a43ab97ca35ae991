package apply

import (
	"fmt"

	"syncline"
)

// TaskID derives the id of the task that is one event on one rule.
func TaskID(rule, source string, seq syncline.Seq, index int) string {
	return fmt.Sprintf("%s:%s:%d.%d", rule, source, seq, index)
}

// runID derives the id of a run that a route asks for, so that asking again after a crash is the same run.
func runID(why, route, entity string, at syncline.Cursor) string {
	return fmt.Sprintf("%s-%s-%s-%d-%d.%d", why, route, entity, at.Epoch, at.Seq, at.Index)
}
