package ops

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"syncline"
	"syncline/internal/state"
)

// Sync is a run, as the API shows it.
type Sync struct {
	ID     string   `json:"id"`
	Source string   `json:"source"`
	Entity string   `json:"entity"`
	Kind   string   `json:"kind" enum:"snapshot,full,keys,incremental,sweep"`
	Routes []string `json:"routes,omitempty"`
	// Keys is how many records a run of named keys reads.
	Keys    int    `json:"keys,omitempty"`
	Where   string `json:"where,omitempty"`
	FromKey string `json:"from_key,omitempty"`
	Status  string `json:"status" enum:"requested,running,paused,cancelling,cancelled,done,failed"`
	Chunks  uint32 `json:"chunks"`
	// Rows are in the log, Scanned were read for that.
	Rows    int64 `json:"rows" doc:"How many rows are in the log."`
	Scanned int64 `json:"scanned" doc:"How many rows were read: those that where left out, too."`
	// Estimate is about how many rows there are to read; Percent and Left follow from it.
	Estimate int64    `json:"estimate,omitempty" doc:"About how many rows there are to read."`
	Percent  *float64 `json:"percent,omitempty"`
	Rate     float64  `json:"rate" doc:"How many rows are read in a second, lately."`
	Left     *float64 `json:"left_seconds,omitempty" doc:"About how long it still takes."`
	MaxRate  int64    `json:"max_rate,omitempty" doc:"How many rows may be read in a second."`
	// Behind are the routes that have not applied all of it that is in the log.
	Behind []BehindRoute `json:"behind" nullable:"false" doc:"The routes that have not applied everything of it that is in the log."`
	Error  string        `json:"error,omitempty"`
	Reason string        `json:"reason,omitempty" doc:"Why it was paused or cancelled."`
	By     string        `json:"by,omitempty" doc:"Who paused or cancelled it."`

	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// BehindRoute is a route that has not applied all of a run.
type BehindRoute struct {
	Route string `json:"route"`
	State string `json:"state"`
}

// Over reports whether nothing more is read for it.
func (s *Sync) Over() bool {
	return s.Status == state.RunDone || s.Status == state.RunFailed || s.Status == state.RunCancelled
}

// Progress is what the engine knows of a run beside its row.
type Progress struct {
	// Rate is how many rows were read in a second, lately.
	Rate   float64
	Behind []BehindRoute
}

func syncOf(r *state.RunRow, p Progress) Sync {
	s := Sync{ID: r.ID, Source: r.Source, Entity: r.Entity, Kind: r.Kind.String(), Routes: r.Routes, Keys: len(r.Keys), Where: r.Where, FromKey: string(r.From),
		Status: r.Status, Chunks: r.Chunks, Rows: r.Rows, Scanned: r.Scanned, Estimate: r.Estimate, Rate: p.Rate, MaxRate: r.Rate, Behind: some(p.Behind),
		Error: r.Error, Reason: r.Reason, By: r.By, Created: r.Created, Updated: r.Updated}
	switch {
	case r.Over():
		s.Rate = 0
	case r.Cancelled || r.Error != "":
		s.Status = "cancelling"
	case r.Held:
		s.Status, s.Rate = "paused", 0
	}
	s.estimate()
	return s
}

// estimate fills what follows from the rows that there are about. A table that has grown is nearly done until it is, nobody knows when.
func (s *Sync) estimate() {
	percent := 100.0
	switch {
	case s.Status == state.RunDone:
	case s.Estimate <= 0:
		return
	default:
		percent = min(float64(s.Scanned)/float64(s.Estimate)*100, 99)
	}
	s.Percent = &percent
	if s.Rate > 0 && s.Scanned < s.Estimate {
		left := float64(s.Estimate-s.Scanned) / s.Rate
		s.Left = &left
	}
}

// Steering asks for something of a sync.
type Steering struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Why; it is shown wherever the sync is."`
	// Rate is for resume only.
	Rate *int64 `json:"rate,omitempty" minimum:"0" doc:"From now on so many rows a second at the most; 0 = as fast as live changes allow. Without it: as it was."`
}

// The things that can be asked of a sync.
const (
	SyncPause  = "pause"
	SyncResume = "resume"
	SyncCancel = "cancel"
)

type oneSync struct {
	ID string `path:"id"`
}

type steerSync struct {
	ID   string   `path:"id"`
	Body Steering `required:"false"`
}

func (a *api) registerSyncs(h huma.API) {
	add(h, op(h, "syncs", "GET", "/v1/syncs", "The latest syncs"), a.syncs)
	start := op(h, "start-sync", "POST", "/v1/syncs", "Read records again from their source")
	start.DefaultStatus = http.StatusAccepted
	add(h, start, a.startSync)
	add(h, op(h, "sync", "GET", "/v1/syncs/{id}", "One sync and how far it is"), a.sync)
	for action, summary := range map[string]string{SyncPause: "Have a sync read nothing more until it is resumed, across restarts too", SyncResume: "Have a paused sync go on",
		SyncCancel: "Give a sync up; what it has read stays"} {
		o := op(h, action+"-sync", "POST", "/v1/syncs/{id}/"+action, summary)
		add(h, o, func(ctx context.Context, in *steerSync) (*reply[Sync], error) {
			row, err := a.engine.SteerSync(ctx, in.ID, action, in.Body)
			return answer(ctx, a, a.shown(row, err), err)
		})
	}
	events := op(h, "sync-events", "GET", "/v1/syncs/{id}/events", "The progress of a sync, as it happens")
	events.Description = "Server-sent events: `sync` is a Sync, whenever something of it has changed, at most twice a second. The stream ends once the sync is over and " +
		"every route has applied it, or cannot."
	events.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}
	huma.Register(h, events, a.syncEvents)
	missing := op(h, "delete-missing", "POST", "/v1/missing", "Remove from targets the records that the source does not have any more, or tell how many they are")
	missing.DefaultStatus = http.StatusOK
	add(h, missing, a.deleteMissing)
}

func (a *api) shown(row state.RunRow, err error) Sync {
	if err != nil {
		return Sync{}
	}
	return syncOf(&row, a.engine.SyncProgress(row))
}

func (a *api) syncs(ctx context.Context, in *page) (*reply[List[Sync]], error) {
	runs, next, err := a.engine.Syncs(ctx, in.After, in.Limit)
	list := List[Sync]{Items: make([]Sync, len(runs)), Next: next}
	for i := range runs {
		list.Items[i] = a.shown(runs[i], nil)
	}
	return answer(ctx, a, list, err)
}

func (a *api) sync(ctx context.Context, in *oneSync) (*reply[Sync], error) {
	row, err := a.engine.Sync(ctx, in.ID)
	return answer(ctx, a, a.shown(row, err), err)
}

func (a *api) startSync(ctx context.Context, in *reply[SyncRequest]) (*reply[Started], error) {
	id, err := a.engine.StartSync(ctx, in.Body)
	return answer(ctx, a, Started{id}, err)
}

func (a *api) deleteMissing(ctx context.Context, in *reply[MissingRequest]) (*reply[Missing], error) {
	found, err := a.engine.DeleteMissing(ctx, in.Body)
	found.Targets, found.Runs = some(found.Targets), some(found.Runs)
	return answer(ctx, a, found, err)
}

// syncEvery is how often a stream looks at its sync.
const syncEvery = 500 * time.Millisecond

func (a *api) syncEvents(ctx context.Context, in *oneSync) (*huma.StreamResponse, error) {
	if _, err := a.engine.Sync(ctx, in.ID); err != nil {
		return nil, problemOf(ctx, a.log, err)
	}
	select {
	case a.streams <- struct{}{}:
	default:
		return nil, problemOf(ctx, a.log, syncline.Errorf(syncline.Transient, "streams_busy", "%d streams are open, as many as there may be", maxStreams).
			WithFix("end one of them, or try again"))
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer func() { <-a.streams }()
		s := &stream{a: a}
		_, s.w = humago.Unwrap(hc)
		s.control = http.NewResponseController(s.w)
		_ = s.control.SetReadDeadline(time.Time{}) // a reader that is gone is noticed without it
		s.w.Header().Set("Content-Type", "text/event-stream")
		s.w.Header().Set("X-Accel-Buffering", "no")
		if err := s.follow(hc.Context(), in.ID); err != nil {
			a.log.Debug("stream of a sync ends", "err", err)
		}
	}}, nil
}

// follow sends the sync whenever it has changed, until it is over.
func (s *stream) follow(ctx context.Context, id string) error {
	life, look, ask := time.NewTimer(streamLife), time.NewTicker(syncEvery), time.NewTicker(streamAsk)
	defer life.Stop()
	defer look.Stop()
	defer ask.Stop()
	var last Sync
	quiet := time.Now()
	for {
		row, err := s.a.engine.Sync(ctx, id)
		if err != nil {
			return err
		}
		now := s.a.shown(row, nil)
		if changed(&last, &now) {
			if err := s.send("", "sync", &now); err != nil {
				return err
			}
			last, quiet = now, time.Now()
		}
		if now.Settled() {
			return nil
		}
		if time.Since(quiet) >= streamQuiet {
			if err := s.comment("nothing new"); err != nil {
				return err
			}
			quiet = time.Now()
		}
		select {
		case <-look.C:
		case <-ask.C:
			if stays, err := s.a.stays(ctx); !stays {
				return err
			}
		case <-life.C:
			return s.comment("come back")
		case <-s.a.closing:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func changed(was, is *Sync) bool {
	return was.ID == "" || was.Status != is.Status || was.Scanned != is.Scanned || was.Rows != is.Rows || was.Estimate != is.Estimate || was.Rate != is.Rate ||
		was.MaxRate != is.MaxRate || was.Error != is.Error || !slices.Equal(was.Behind, is.Behind)
}

// Settled reports whether nothing more becomes of the sync by itself: it is over, and every route has applied it or does not work.
func (s *Sync) Settled() bool {
	if !s.Over() {
		return false
	}
	for _, b := range s.Behind {
		if b.State != RouteHalted && b.State != RouteNeedsSync && b.State != RoutePaused {
			return false
		}
	}
	return true
}

// Syncs returns the syncs, the newest first.
func (c *Client) Syncs(ctx context.Context) ([]Sync, error) {
	return all[Sync](ctx, c, "/v1/syncs", nil, 0)
}

// Sync returns one sync.
func (c *Client) Sync(ctx context.Context, id string) (Sync, error) {
	return call[Sync](ctx, c, http.MethodGet, "/v1/syncs/"+url.PathEscape(id), nil)
}

// StartSync asks for records to be read again and returns the id of the run.
func (c *Client) StartSync(ctx context.Context, r SyncRequest) (string, error) {
	s, err := call[Started](ctx, c, http.MethodPost, "/v1/syncs", r)
	return s.ID, err
}

// SteerSync pauses, resumes or cancels a sync.
func (c *Client) SteerSync(ctx context.Context, id, action string, s Steering) (Sync, error) {
	return call[Sync](ctx, c, http.MethodPost, "/v1/syncs/"+url.PathEscape(id)+"/"+action, s)
}

// FollowSync calls each with the sync until it is settled, which is no error, or each returns one.
func (c *Client) FollowSync(ctx context.Context, id string, each func(Sync) error) error {
	for {
		s, err := c.Sync(ctx, id)
		if err != nil {
			return err
		}
		if err := each(s); err != nil || s.Settled() {
			return err
		}
		timer := time.NewTimer(syncEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// MissingRequest asks for the records that targets have and their source does not.
type MissingRequest struct {
	Source string   `json:"source" minLength:"1" doc:"The system to read."`
	Entity string   `json:"entity" minLength:"1" doc:"The entity to read."`
	To     []string `json:"to,omitempty" maxItems:"1000" doc:"Only at these targets, by the names of systems or of routes. Without any: every route of the entity."`
	DryRun bool     `json:"dry_run,omitempty" doc:"Only count."`
	// MaxPercent bounds what is removed at a target.
	MaxPercent *float64 `json:"max_percent,omitempty" minimum:"0" maximum:"100" doc:"Nothing is removed where more than this share of a target's records is missing at the source. Without it: 10."`
}

// Missing is what targets have and their source does not.
type Missing struct {
	// Records is how many the source has.
	Records int64           `json:"records" doc:"How many records the source has."`
	Targets []MissingTarget `json:"targets" nullable:"false"`
	// Runs read the missing ones again, which removes those that are still absent; none of a dry run.
	Runs []string `json:"runs" nullable:"false" doc:"The syncs that read the missing records again, by which they go; none of a dry run."`
}

// MissingTarget is what one target has.
type MissingTarget struct {
	Route   string `json:"route"`
	Rule    string `json:"rule"`
	Target  string `json:"target"`
	Object  string `json:"object"`
	Records int64  `json:"records" doc:"How many records the target has."`
	Missing int64  `json:"missing" doc:"How many of them the source does not have."`
	// Percent is the share of the missing.
	Percent float64 `json:"percent"`
	Note    string  `json:"note,omitempty" doc:"Why this target was not compared."`
}

// DeleteMissing removes what the source does not have any more, or counts it.
func (c *Client) DeleteMissing(ctx context.Context, r MissingRequest) (Missing, error) {
	return call[Missing](ctx, c.patient(), http.MethodPost, "/v1/missing", r)
}
