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

// problem is an error in the form of RFC 9457, as everywhere in the API.
type problem struct {
	Type   string  `json:"type"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail"`
	Code   string  `json:"code"`
	Fix    string  `json:"fix,omitempty"`
	Errors []fault `json:"errors,omitempty"`
}

// fault names the event and the field: "events[3].data.total".
type fault struct {
	Location string `json:"location"`
	Message  string `json:"message"`
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
	writeJSON(w, http.StatusAccepted, "application/json", accepted{IDs: ids})
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
	sys, ok := in.systems[name]
	if !ok {
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
		if records[i], err = cloudevent.Parse(&events[i], sys.entities); err != nil {
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
	p := problem{Type: "urn:syncline:problem:" + e.Err.Code, Title: http.StatusText(e.Status), Status: e.Status, Detail: e.Error(),
		Code: e.Err.Code, Fix: e.Err.Fix}
	if e.Event >= 0 {
		location := "events[" + strconv.Itoa(e.Event) + "]"
		if e.Field != "" {
			location += "." + e.Field
		}
		p.Errors = []fault{{location, e.Err.Msg}}
	}
	in.opts.Logger.Debug("events refused", "status", e.Status, "code", p.Code)
	writeJSON(w, e.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, mediaType string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings and numbers always have a JSON form
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	w.Write(append(text, '\n')) //nolint:errcheck // the client is gone
}
