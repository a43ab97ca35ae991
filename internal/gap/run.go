package gap

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"syncline"
	"syncline/internal/state"
)

// Run is the run that reads the entity in the gap's present try: asking again after a crash is asking for the same one.
func Run(g *state.Gap, entity string, routes ...string) syncline.Run {
	return syncline.Run{ID: tryOf(g) + entity, Kind: syncline.RunFull, Entity: entity, Routes: routes}
}

// tryOf begins the ids of the runs of the gap's present try.
func tryOf(g *state.Gap) string {
	return fmt.Sprintf("refill-%s-%d-", strings.TrimPrefix(g.ID, "gap-"), g.Attempts)
}

// Reads reports whether the run reads for the gap's present try: it was asked for here, or by the route when it began anew. What failed of
// the tries before does not count, nor what an operator has read for the route. An id alone would not tell apart what a route asks for that loses
// its hold twice, since it names its runs itself.
func Reads(g *state.Gap, run *state.RunRow) bool {
	if strings.HasPrefix(run.ID, tryOf(g)) {
		return true
	}
	return g.Route != "" && strings.HasPrefix(run.ID, "start-") && slices.Equal(run.Routes, []string{g.Route}) &&
		!run.Created.Before(g.Next.Truncate(time.Microsecond)) // the store's unit
}
