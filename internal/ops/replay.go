package ops

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// ReplayRequest asks for the records of a stretch of a log to be sent to a route again.
type ReplayRequest struct {
	Route string `json:"route" minLength:"1"`
	// From and To are an entry of the log or a time.
	From   string   `json:"from" minLength:"1" maxLength:"40" doc:"The first entry of the log, by its number or by a time (2026-01-31T09:00:00Z)."`
	To     string   `json:"to,omitempty" maxLength:"40" doc:"The last entry, by its number, or the time before which entries were appended. Without it: the log's end."`
	Keys   []string `json:"keys,omitempty" maxItems:"10000" doc:"Only these records, by their keys at the source."`
	Reason string   `json:"reason" minLength:"1" maxLength:"500" doc:"Why; the audit log keeps it."`
	DryRun bool     `json:"dry_run,omitempty" doc:"Only count and compare."`
}

// Replay is what a replay found and sends again.
type Replay struct {
	Route  string `json:"route"`
	Source string `json:"source"`
	// From and To are the entries that were looked at.
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Events int64  `json:"events" doc:"How many events of the route's entities stand there."`
	Keys   int    `json:"keys" doc:"How many records they are about: these are read again."`
	// Keyless are events that no record can be read by.
	Keyless int64 `json:"keyless" doc:"Events of tables without a key, and TRUNCATEs: they are not sent again."`
	// Compared is how many of the records were compared with what the target holds, Differ how many of those differ.
	Compared int            `json:"compared" doc:"How many of the records were compared with what the target holds."`
	Differ   int            `json:"differ" doc:"How many of those differ from what the newest event in the log makes of them."`
	Unknown  int            `json:"unknown" doc:"How many of those cannot be told."`
	Samples  []ReplaySample `json:"samples" nullable:"false" doc:"The first that differ."`
	Note     string         `json:"note,omitempty" doc:"Why nothing was compared."`
	// Runs are the runs that read the records; none of a dry run.
	Runs []string `json:"runs" nullable:"false" doc:"The runs that read the records; see GET /v1/syncs."`
}

// ReplaySample is a record that differs. Values are left to explain.
type ReplaySample struct {
	Entity string   `json:"entity"`
	Key    string   `json:"key" doc:"The key at the source."`
	State  string   `json:"state" enum:"differs,missing,extra"`
	Fields []string `json:"fields,omitempty" nullable:"false"`
}

func (a *api) registerReplays(h huma.API) {
	start := op(h, "start-replay", "POST", "/v1/replays", "Send the records of a stretch of the log to a route again, or tell what that would do")
	start.DefaultStatus = http.StatusOK
	add(h, start, a.startReplay)
}

func (a *api) startReplay(ctx context.Context, in *reply[ReplayRequest]) (*reply[Replay], error) {
	done, err := a.engine.Replay(ctx, in.Body)
	return answer(ctx, a, done, err)
}

// Replay sends the records of a stretch of a log to a route again, or tells what that would do.
func (c *Client) Replay(ctx context.Context, r ReplayRequest) (Replay, error) {
	return call[Replay](ctx, c.patient(), http.MethodPost, "/v1/replays", r)
}
