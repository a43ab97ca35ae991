package config

import (
	"fmt"
	"log/slog"
	"time"
)

// Service is an HTTP service that is asked for records.
type Service struct {
	URL  Secret      `json:"url"`
	Auth ServiceAuth `json:"auth,omitzero"`
	// Headers are sent with every request.
	Headers []*Param `json:"headers,omitempty"`
	// Rate bounds the requests per second.
	Rate float64 `json:"rate"`
	// Timeout bounds one request, MaxAnswer its answer in bytes.
	Timeout   time.Duration `json:"timeout"`
	MaxAnswer int64         `json:"max_answer"`
	// AllowPrivate lets requests go to loopback, private and link-local addresses.
	AllowPrivate bool `json:"allow_private"`
}

// ServiceAuth is how requests say who asks: one of its parts, or nothing.
type ServiceAuth struct {
	Bearer Secret `json:"bearer,omitzero"`
	// Basic is a user with a password.
	User     string `json:"user,omitempty"`
	Password Secret `json:"password,omitzero"`
	// Header is a header of this name with a secret.
	Header string `json:"header,omitempty"`
	Value  Secret `json:"value,omitzero"`
}

// Param is a query parameter or a header.
type Param struct {
	Name string `json:"name"`
	Text Text   `json:"text"`
}

// Listing is how a polled entity of an HTTP service is asked for.
type Listing struct {
	Path   Text     `json:"path"`
	Method string   `json:"method"`
	Query  []*Param `json:"query,omitempty"`
	// Headers are sent beside those of the service.
	Headers []*Param `json:"headers,omitempty"`
	// Body is JSON; "" = none.
	Body Text `json:"body,omitzero"`
	// Records is the path of the records in the answer; "" = the answer is the list.
	Records string `json:"records,omitempty"`
	Page    Page   `json:"page,omitzero"`
	// Get asks for one record; nil = the service has no such request.
	Get *GetRecord `json:"get,omitempty"`
}

// PageBy is how a listing is cut into pages.
type PageBy string

// The ways to cut a listing into pages; "" = it is one.
const (
	PageByNumber PageBy = "number"
	PageByOffset PageBy = "offset"
	PageByCursor PageBy = "cursor"
	PageByLink   PageBy = "link"
)

// Page is how a listing goes on.
type Page struct {
	By    PageBy `json:"by,omitempty"`
	Param string `json:"param,omitempty"`
	First int    `json:"first"`
	// Size is how many records a page is asked to have; 0 = the service's own number.
	Size      int    `json:"size,omitempty"`
	SizeParam string `json:"size_param,omitempty"`
	// Next and More are paths in the answer.
	Next string `json:"next,omitempty"`
	More string `json:"more,omitempty"`
	Max  int    `json:"max"`
}

// GetRecord asks for one record.
type GetRecord struct {
	Path   Text     `json:"path"`
	Query  []*Param `json:"query,omitempty"`
	Record string   `json:"record,omitempty"`
}

// Text is text that shows itself as it stands in the file: with its references, and not with what they stand for.
type Text struct{ text, shown string }

// NewText returns a text that is shown as another one.
func NewText(text, shown string) Text { return Text{text, shown} }

// Reveal returns the text with its references resolved.
func (t Text) Reveal() string { return t.text }

// String returns the text as it stands in the file.
func (t Text) String() string { return t.shown }

// Format writes what String returns, for every verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.shown)) }

// MarshalText is what JSON and YAML show.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.shown), nil }

// LogValue is what a log shows.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.shown) }
