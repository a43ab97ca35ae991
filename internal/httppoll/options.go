// Package httppoll is the source that asks an HTTP service for its records: all of them, or those that have changed since a watermark.
//
// A look at an entity (RunPoll) reads its listing page by page, from the watermark on, and compares each record with what was last
// seen of it: what is new or different is an event of the stream. The watermark moves when the last page was read, never before, so
// that a look that fails in the middle begins anew. A sweep (RunSweep) reads the whole listing and finds what has gone. Runs (RunFull,
// RunSnapshot, RunKeys) read records as they are.
//
// What an answer of the service means:
//
//	2xx with JSON                    records
//	304                              a page that is as it was
//	408, 425, 429, 502-504, network  transient: asked again, not before Retry-After (api_unreachable)
//	other 5xx                        transient: asked again, then the run fails (api_failing)
//	no JSON, cut, no records in it   transient: asked again (api_answer_bad)
//	401, 403                         fatal (api_refused)
//	3xx, other 4xx                   fatal (api_request_bad); for one record, 404 and 410: there is none
//
// See DESIGN.md.
package httppoll

import (
	"time"
)

// Options say which service is asked, and how.
type Options struct {
	// Name is the source's name in batches.
	Name string
	// URL is what the paths of requests follow.
	URL  string
	Auth Auth
	// Headers are sent with every request.
	Headers []Param
	// Rate bounds the requests per second; 0 = 10.
	Rate float64
	// Timeout bounds one request with its answer; 0 = 30 s.
	Timeout time.Duration
	// MaxAnswer bounds an answer, in bytes; 0 = 16 MiB.
	MaxAnswer int64
	// RetryDelay is what the pauses between attempts begin with; 0 = 1 s.
	RetryDelay time.Duration
	// AllowPrivate lets requests go to addresses that are not public, and without TLS.
	AllowPrivate bool
}

func (o Options) withDefaults() Options {
	if o.Rate == 0 {
		o.Rate = 10
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.MaxAnswer == 0 {
		o.MaxAnswer = 16 << 20
	}
	if o.RetryDelay == 0 {
		o.RetryDelay = time.Second
	}
	return o
}

// Auth is how requests say who asks: by one of its three parts, or not at all.
type Auth struct {
	Bearer         string
	User, Password string
	// Header is the name of the header that Value goes into.
	Header, Value string
}

// Param is a query parameter, a header or the like: Text may have placeholders.
type Param struct{ Name, Text string }

// Request is the template of a request. Its texts have placeholders in braces ({watermark}, {page}, {cursor}, {size}, {key} and the names
// of the key's fields); {{ and }} are braces. A parameter, a header or a member of the body with a placeholder that stands for nothing at
// the moment is left out.
type Request struct {
	// Path follows the service's URL; it may have a query.
	Path string
	// Method is "" for GET.
	Method  string
	Query   []Param
	Headers []Param
	// Body is JSON, "" = none. A text that is a placeholder alone becomes a number where the placeholder stands for one.
	Body string
}
