package ops

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"syncline/internal/alert"
	"syncline/internal/state"
)

// Alerts are what the API needs of whoever watches signals and tells people.
type Alerts interface {
	// Alerts are those that fire and those that are about to, the most severe first.
	Alerts(context.Context) ([]ActiveAlert, error)
	// AlertRules are the rules of the configuration, the built-in ones too.
	AlertRules(context.Context) ([]AlertRule, error)
	// AlertChannels are the channels, and how delivery goes.
	AlertChannels(context.Context) ([]AlertChannel, error)
	// AlertHistory returns a page of what was told, the newest first.
	AlertHistory(context.Context, state.ToldFilter) ([]state.Told, string, error)
	// Silences are those that have not ended.
	Silences(context.Context) ([]alert.Silence, error)
	// Silence keeps messages back for a while.
	Silence(context.Context, SilenceRequest) (alert.Silence, error)
	// EndSilence ends one now.
	EndSilence(ctx context.Context, id string) error
	// TestChannel sends a message now, and tells what came of it.
	TestChannel(ctx context.Context, name string) (ChannelTest, error)
}

// ActiveAlert is an alert that fires, or will once its condition has held for long enough.
type ActiveAlert struct {
	Rule     string            `json:"rule"`
	Severity alert.Severity    `json:"severity" enum:"info,warning,critical"`
	State    string            `json:"state" enum:"pending,firing"`
	Labels   map[string]string `json:"labels,omitempty"`
	// Values are the signals that the rule looks at.
	Values map[string]float64 `json:"values,omitempty"`
	Since  time.Time          `json:"since" doc:"When the condition came to hold."`
	Told   *time.Time         `json:"told,omitempty" doc:"When it was told last."`
	// Silence is the id of the one that keeps messages back.
	Silence  string `json:"silence,omitempty" doc:"The silence that keeps messages back."`
	Flapping bool   `json:"flapping,omitempty"`
}

// AlertRule is a rule of alerts.
type AlertRule struct {
	ID            string         `json:"id"`
	BuiltIn       bool           `json:"built_in"`
	When          string         `json:"when"`
	ForSeconds    float64        `json:"for_seconds"`
	Severity      alert.Severity `json:"severity" enum:"info,warning,critical"`
	RepeatSeconds float64        `json:"repeat_seconds" doc:"0: it is not told again that it still fires."`
	Channels      []string       `json:"channels" nullable:"false"`
	Enabled       bool           `json:"enabled"`
	Firing        int            `json:"firing"`
	// Error is why the condition could not be evaluated.
	Error *Fault `json:"error,omitempty" doc:"Why the condition could not be evaluated the last time."`
}

// AlertChannel is a channel and how delivery goes.
type AlertChannel struct {
	Name     string         `json:"name"`
	Type     string         `json:"type" enum:"webhook,email,slack,dingtalk"`
	Language alert.Language `json:"language" enum:"en,zh"`
	// Waiting is how many messages wait for it, Attempts how often the first of them was tried.
	Waiting  int        `json:"waiting"`
	Attempts int        `json:"attempts,omitempty" doc:"How often the message was tried that waits first."`
	NextTry  *time.Time `json:"next_try,omitempty"`
	Error    *Fault     `json:"error,omitempty" doc:"Why the message that waits first was not taken, or the last one that was given up."`
	LastSent *time.Time `json:"last_sent,omitempty"`
}

// SilenceRequest asks for a silence.
type SilenceRequest struct {
	Rule   string            `json:"rule,omitempty" maxLength:"100" doc:"The id of a rule. Without it: all."`
	Labels map[string]string `json:"labels,omitempty" doc:"The labels that an alert must have, such as route."`
	// Until is when it ends; ForSeconds says the same from now on.
	Until      *time.Time `json:"until,omitempty"`
	ForSeconds float64    `json:"for_seconds,omitempty" minimum:"0" doc:"How long, where until is not given."`
	Reason     string     `json:"reason" minLength:"1" maxLength:"500"`
}

// ChannelTest is what came of a message that was sent to try a channel.
type ChannelTest struct {
	Channel   string  `json:"channel"`
	Delivered bool    `json:"delivered"`
	Answer    string  `json:"answer,omitempty" doc:"What the channel's server said."`
	Error     *Fault  `json:"error,omitempty"`
	Seconds   float64 `json:"seconds"`
}

type historyQuery struct {
	After  string `query:"after" doc:"The next of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Rule   string `query:"rule"`
	Failed bool   `query:"failed" doc:"Only what a channel did not get."`
}

type silenceID struct {
	ID string `path:"id"`
}

type channelName struct {
	Name string `path:"name"`
}

func (a *api) registerAlerts(h huma.API) {
	add(h, op(h, "alerts", "GET", "/v1/alerts", "What fires, and what is about to"), a.alerts)
	add(h, op(h, "alert-rules", "GET", "/v1/alerts/rules", "The rules of alerts, the built-in ones too"), a.alertRules)
	add(h, op(h, "alert-channels", "GET", "/v1/alerts/channels", "The channels, and how delivery goes"), a.alertChannels)
	add(h, op(h, "alert-history", "GET", "/v1/alerts/history", "What was told, and what became of telling each channel, the newest first"), a.alertHistory)
	add(h, op(h, "alert-silences", "GET", "/v1/alerts/silences", "The silences that have not ended"), a.silences)
	silence := op(h, "silence-alerts", "POST", "/v1/alerts/silences", "Keep messages back for a while; what is still news after it is told then")
	silence.DefaultStatus = http.StatusCreated
	add(h, silence, a.silence)
	add(h, op(h, "end-silence", "DELETE", "/v1/alerts/silences/{id}", "End a silence now"), a.endSilence)
	test := op(h, "test-channel", "POST", "/v1/alerts/channels/{name}/test", "Send a message to a channel now, and tell what came of it")
	test.DefaultStatus = http.StatusOK
	add(h, test, a.testChannel)
}

func (a *api) alerts(ctx context.Context, in *page) (*reply[List[ActiveAlert]], error) {
	list, err := a.engine.Alerts(ctx)
	return answerPage(ctx, a, list, in, func(one *ActiveAlert) string { return one.Rule + " " + alert.LabelText(one.Labels) }, err)
}

func (a *api) alertRules(ctx context.Context, in *page) (*reply[List[AlertRule]], error) {
	list, err := a.engine.AlertRules(ctx)
	return answerPage(ctx, a, list, in, func(r *AlertRule) string { return r.ID }, err)
}

func (a *api) alertChannels(ctx context.Context, in *page) (*reply[List[AlertChannel]], error) {
	list, err := a.engine.AlertChannels(ctx)
	return answerPage(ctx, a, list, in, func(c *AlertChannel) string { return c.Name }, err)
}

func (a *api) alertHistory(ctx context.Context, in *historyQuery) (*reply[List[state.Told]], error) {
	list, next, err := a.engine.AlertHistory(ctx, state.ToldFilter{Rule: in.Rule, Failed: in.Failed, After: in.After, Limit: in.Limit})
	return answer(ctx, a, List[state.Told]{Items: some(list), Next: next}, err)
}

func (a *api) silences(ctx context.Context, in *page) (*reply[List[alert.Silence]], error) {
	list, err := a.engine.Silences(ctx)
	return answerPage(ctx, a, list, in, func(q *alert.Silence) string { return q.ID }, err)
}

func (a *api) silence(ctx context.Context, in *reply[SilenceRequest]) (*reply[alert.Silence], error) {
	q, err := a.engine.Silence(ctx, in.Body)
	return answer(ctx, a, q, err)
}

func (a *api) endSilence(ctx context.Context, in *silenceID) (*struct{}, error) {
	return a.done(ctx, a.engine.EndSilence(ctx, in.ID))
}

func (a *api) testChannel(ctx context.Context, in *channelName) (*reply[ChannelTest], error) {
	t, err := a.engine.TestChannel(ctx, in.Name)
	return answer(ctx, a, t, err)
}

// Alerts returns what fires, and what is about to.
func (c *Client) Alerts(ctx context.Context) ([]ActiveAlert, error) {
	return all[ActiveAlert](ctx, c, "/v1/alerts", nil, 0)
}

// AlertRules returns the rules of alerts.
func (c *Client) AlertRules(ctx context.Context) ([]AlertRule, error) {
	return all[AlertRule](ctx, c, "/v1/alerts/rules", nil, 0)
}

// AlertChannels returns the channels.
func (c *Client) AlertChannels(ctx context.Context) ([]AlertChannel, error) {
	return all[AlertChannel](ctx, c, "/v1/alerts/channels", nil, 0)
}

// AlertHistory returns the latest of what was told, at most so many; 0 = all.
func (c *Client) AlertHistory(ctx context.Context, f state.ToldFilter) ([]state.Told, error) {
	q := url.Values{}
	if f.Rule != "" {
		q.Set("rule", f.Rule)
	}
	if f.Failed {
		q.Set("failed", "true")
	}
	return all[state.Told](ctx, c, "/v1/alerts/history", q, f.Limit)
}

// Silences returns those that have not ended.
func (c *Client) Silences(ctx context.Context) ([]alert.Silence, error) {
	return all[alert.Silence](ctx, c, "/v1/alerts/silences", nil, 0)
}

// Silence keeps messages back.
func (c *Client) Silence(ctx context.Context, r SilenceRequest) (alert.Silence, error) {
	return call[alert.Silence](ctx, c, "POST", "/v1/alerts/silences", r)
}

// EndSilence ends one now.
func (c *Client) EndSilence(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, c, "DELETE", "/v1/alerts/silences/"+url.PathEscape(id), nil)
	return err
}

// TestChannel sends a message to a channel now.
func (c *Client) TestChannel(ctx context.Context, name string) (ChannelTest, error) {
	return call[ChannelTest](ctx, c, "POST", "/v1/alerts/channels/"+url.PathEscape(name)+"/test", nil)
}
