// Package cloudevent reads and writes CloudEvents 1.0 (CNCF, version 1.0.2) as Syncline uses them: over HTTP in the binary,
// structured and batched mode, with the JSON event format.
//
// An event of Syncline is one change of one record:
//
//	source           the system
//	type             <entity>.<created|updated|deleted|merged|archived>; out of Syncline also snapshot, repair, truncated, absent
//	subject          the record's key in canonical form (syncline.Key)
//	time             when it happened
//	data             {"before": …, "after": …}, or the record itself
//	entityversion    the record's version, a decimal string
//	priority         low, normal, high or critical
//	correlationid, userid, sessionid, reason
//	tags             comma-separated
//	into             the key of the record that survives a merge
//	changedfields    out of Syncline: the names of the fields that an update changed, percent-encoded and joined by commas
//	traceparent      the W3C trace context
//
// Reading has two steps. Decode turns a request into Events and knows nothing of entities; Parse turns an Event into a
// Record of a declared entity; neither keeps state. Shapes then gives the records of one source their schemas.
package cloudevent

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"syncline"
)

// Media types of the JSON event format.
const (
	MediaType      = "application/cloudevents+json"
	MediaTypeBatch = "application/cloudevents-batch+json"
)

const specVersion = "1.0"

// Event is one CloudEvent. Optional attributes that were not sent are zero.
type Event struct {
	ID, Source, Type string
	Subject          string
	Time             time.Time
	DataContentType  string
	DataSchema       string
	// Extensions are the other attributes, each in its canonical string form (a boolean is "true", an integer is "5").
	Extensions map[string]string
	// Data is the payload in its content type; nil where the event has none. Where IsJSON, it is valid JSON without space
	// around it, within the limits, no name repeated.
	Data []byte
}

// IsJSON reports whether the payload is declared to be JSON, as it is without a content type.
func (e *Event) IsJSON() bool {
	return e.DataContentType == "" || isJSONType(e.DataContentType)
}

// Limits bound what one request may hold. Zero fields have the values named here.
type Limits struct {
	// Events is the number of events in a batch: 1,000.
	Events int
	// Depth is how deep objects and arrays of one event may be nested, the event itself included: 32.
	Depth int
}

func (l Limits) withDefaults() Limits {
	if l.Events == 0 {
		l.Events = 1000
	}
	if l.Depth == 0 {
		l.Depth = 32
	}
	return l
}

// Limits that are not configurable: nothing legitimate comes near them, and indexes, logs and headers depend on them.
const (
	maxID        = 256
	maxAttribute = 4096
	maxColumns   = 1600
	maxName      = 255
)

// Error says why a request was refused. It wraps a *syncline.Error of class Rejected with the code.
type Error struct {
	// Status is the HTTP status that the sender gets; from this package 400, 413, 415 or 422.
	Status int
	// Event is the index of the event in the request, -1 where the request as a whole is meant.
	Event int
	// Field is the attribute or the path in the data ("data.after.lines[2].sku"); "" where the event as a whole is meant.
	Field string
	Err   *syncline.Error
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Event >= 0 {
		fmt.Fprintf(&b, "event %d: ", e.Event)
	}
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Err.Msg)
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// In returns e naming the event of the request.
func (e *Error) In(event int) *Error {
	e.Event = event
	return e
}

// Refuse returns an error of the request as a whole; field may be "".
func Refuse(status int, code, field, format string, args ...any) *Error {
	return &Error{Status: status, Event: -1, Field: field, Err: syncline.Errorf(syncline.Rejected, code, format, args...)}
}

func malformed(code, field, format string, args ...any) *Error {
	return Refuse(http.StatusBadRequest, code, field, format, args...)
}

func unprocessable(code, field, format string, args ...any) *Error {
	return Refuse(http.StatusUnprocessableEntity, code, field, format, args...)
}

// under puts the path of the enclosing value before the field.
func (e *Error) under(parent string) *Error {
	switch {
	case e.Field == "":
		e.Field = parent
	case parent == "", strings.HasPrefix(e.Field, "["):
		e.Field = parent + e.Field
	default:
		e.Field = parent + "." + e.Field
	}
	return e
}
