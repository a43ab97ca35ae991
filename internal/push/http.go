package push

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"syncline"
	"syncline/internal/cloudevent"
	"syncline/internal/problem"
)

// Seconds after which a client may try again.
const (
	retryBusy = 1
	retryFull = 30
)

// accepted is the body of a 202: the ids in the order of the request.
type accepted struct {
	IDs []string `json:"ids"`
}

// Serve takes the CloudEvents of one request. 202 means that all of them are durable; 4xx that none is stored; 503 and
// 507 that the request should be sent again after Retry-After, with the same ids. Events of a source that may refuses are answered
// with 403, whether there is such a source or not.
func (in *Intake) Serve(w http.ResponseWriter, r *http.Request, may func(source string) bool) {
	ids, err := in.accept(w, r, may)
	if err != nil {
		in.refuse(w, err)
		return
	}
	text, err := json.Marshal(accepted{IDs: ids})
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(append(text, '\n')) // the client is gone
}

func (in *Intake) accept(w http.ResponseWriter, r *http.Request, may func(source string) bool) ([]string, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, cloudevent.Refuse(http.StatusMethodNotAllowed, "method_not_allowed", "", "events are sent with POST")
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, cloudevent.Refuse(http.StatusUnsupportedMediaType, "unsupported_encoding", "", "the body is compressed")
	}
	reserved := r.ContentLength
	if reserved > in.opts.MaxBody {
		return nil, tooLarge(in.opts.MaxBody)
	}
	if reserved < 0 {
		reserved = in.opts.MaxBody
	}
	defer in.pending.Add(-reserved)
	if in.pending.Add(reserved) > in.opts.MaxPending {
		return nil, unavailable("busy", "too many events are under way")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, in.opts.MaxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, tooLarge(in.opts.MaxBody)
		}
		return nil, cloudevent.Refuse(http.StatusBadRequest, "body_unreadable", "", "the body ended early")
	}
	events, err := cloudevent.Decode(r.Header, body, cloudevent.Limits{Events: in.opts.MaxBatch, Depth: in.opts.MaxDepth})
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(events))
	if len(events) == 0 {
		return ids, nil
	}
	for i := range events {
		if !may(events[i].Source) {
			e := cloudevent.Refuse(http.StatusForbidden, "source_forbidden", "source", "the token may not send events of this source")
			e.Err.Fix = "use a publisher's token for this system"
			return nil, e.In(i)
		}
	}
	name := events[0].Source
	sys, entities := in.system(name)
	if sys == nil {
		e := cloudevent.Refuse(http.StatusUnprocessableEntity, "unknown_source", "source", "no system of this name takes events")
		e.Err.Fix = "the source is the name of a system of type http with capture mode push"
		return nil, e.In(0)
	}
	if limit := int64(sys.log.MaxBatch() / 2); int64(len(body)) > limit {
		return nil, tooLarge(limit)
	}
	records := make([]*cloudevent.Record, len(events))
	for i := range events {
		if events[i].Source != name {
			return nil, cloudevent.Refuse(http.StatusUnprocessableEntity, "mixed_sources", "source",
				"the events of a request have one source: they are stored all or none").In(i)
		}
		if records[i], err = cloudevent.Parse(&events[i], entities); err != nil {
			var refused *cloudevent.Error
			if errors.As(err, &refused) {
				return nil, refused.In(i)
			}
			return nil, err
		}
		ids[i] = events[i].ID
	}
	source := sys.source()
	if source == nil {
		return nil, closedError(name)
	}
	return ids, source.submit(r.Context(), records, len(body))
}

func tooLarge(limit int64) error {
	return cloudevent.Refuse(http.StatusRequestEntityTooLarge, "body_too_large", "", "the body has more than %d bytes", limit)
}

// refuse answers with the problem. All errors of this package and of cloudevent are a *cloudevent.Error.
func (in *Intake) refuse(w http.ResponseWriter, err error) {
	var e *cloudevent.Error
	if !errors.As(err, &e) {
		e = unavailable(syncline.CodeOf(err), "the events could not be taken")
	}
	switch e.Status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(retryBusy))
	case http.StatusInsufficientStorage:
		w.Header().Set("Retry-After", strconv.Itoa(retryFull))
	}
	p := problem.New(e.Status, e.Err.Code, e.Error(), e.Err.Fix)
	if e.Event >= 0 {
		location := "events[" + strconv.Itoa(e.Event) + "]"
		if e.Field != "" {
			location += "." + e.Field
		}
		p.Fields = []problem.Field{{Location: location, Message: e.Err.Msg}}
	}
	in.opts.Logger.Debug("events refused", "status", e.Status, "code", p.Code)
	p.Write(w)
}
