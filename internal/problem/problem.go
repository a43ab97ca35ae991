// Package problem is the form in which every part of the HTTP API gives its errors (RFC 9457), and in which its client returns them.
package problem

import (
	"encoding/json"
	"net/http"

	"syncline"
)

// MediaType is that of a Problem.
const MediaType = "application/problem+json"

const (
	// CodeServerInvalid is that of a client whose server has no usable URL.
	CodeServerInvalid = "server_invalid"
	// CodeConfigInvalid is that of a configuration which the server does not take.
	CodeConfigInvalid = "config_invalid"
	// CodeCheckFailed is that of a configuration whose systems or tables are not as it needs them.
	CodeCheckFailed = "check_failed"
)

// Problem is an error of a request.
type Problem struct {
	Type   string `json:"type" doc:"urn:syncline:problem: and the code."`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail" doc:"What went wrong, and where."`
	// Code is stable.
	Code   string  `json:"code" doc:"A stable code; docs/errors.md explains it."`
	Fix    string  `json:"fix,omitempty" doc:"What to do about it."`
	Fields []Field `json:"errors,omitempty" doc:"The parts of the request that are wrong."`

	cause error
}

// Field names a part of a request that is wrong.
type Field struct {
	Location string `json:"location" doc:"Where, as in body.keys[3], query.limit or events[2].data.total."`
	Message  string `json:"message"`
}

// New makes a problem. Its status is 0 where no server has answered.
func New(status int, code, detail, fix string) *Problem {
	return &Problem{Type: "urn:syncline:problem:" + code, Title: http.StatusText(status), Status: status, Detail: detail, Code: code, Fix: fix}
}

// Because returns p with the error that it comes from, which callers of this program find in its chain.
func (p *Problem) Because(cause error) *Problem {
	p.cause = cause
	return p
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Code
	}
	return p.Code + ": " + p.Detail
}

// Unwrap gives the problem its place among the errors of this program: its code, its class and its way out.
func (p *Problem) Unwrap() error {
	class := syncline.Rejected
	if p.Status == 0 || p.Status >= http.StatusInternalServerError {
		class = syncline.Transient
	}
	return &syncline.Error{Code: p.Code, Class: class, Msg: p.Detail, Fix: p.Fix, Change: -1, Err: p.cause}
}

// ExitCode is the exit status of a command that ends with this problem: 4 if the server could not be reached or did not let
// the caller in, or could not reach what it is to work with, 3 if it does not take the configuration, 2 if its URL is none, else 1.
func (p *Problem) ExitCode() int {
	switch {
	case p.Code == CodeServerInvalid:
		return 2
	case p.Code == CodeConfigInvalid:
		return 3
	case p.Status == 0, p.Code == CodeCheckFailed, p.Status == http.StatusUnauthorized, p.Status == http.StatusForbidden:
		return 4
	}
	return 1
}

// GetStatus and ContentType let huma write the problem.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is always that of problems.
func (p *Problem) ContentType(string) string { return MediaType }

// Write answers a request with the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always have a JSON form
	}
	w.Header().Set("Content-Type", MediaType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the caller is gone
}
