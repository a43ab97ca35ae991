package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Slack posts to an incoming webhook (docs.slack.dev, "Sending messages using incoming webhooks"): 200 and "ok" where the message is
// taken; else a status with a word such as invalid_payload or no_service; 429 with Retry-After where there are too many.
type Slack struct{ endpoint *endpoint }

// SlackOptions say where. URL is the webhook's, which is a secret.
type SlackOptions struct {
	URL          string
	Timeout      time.Duration // 0 = 15 s
	AllowPrivate bool
}

// NewSlack checks the options. It connects to nothing.
func NewSlack(o SlackOptions) (*Slack, error) {
	e, err := newEndpoint(o.URL, o.Timeout, o.AllowPrivate)
	return &Slack{e}, err
}

// slackText escapes what Slack takes for markup: a name can neither mention people nor be a link.
var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// slackMessage is what a webhook takes.
type slackMessage struct {
	Text string `json:"text"`
}

// Send delivers a message.
func (s *Slack) Send(ctx context.Context, m *Message) (Answer, error) {
	document, err := json.Marshal(slackMessage{"*" + slackText.Replace(strings.ReplaceAll(m.Subject, "*", "∗")) + "*\n" + slackText.Replace(m.Body)})
	if err != nil {
		return "", fmt.Errorf("write the message: %w", err)
	}
	r, err := s.endpoint.post(ctx, s.endpoint.url, document)
	if err == nil {
		err = s.endpoint.status(r)
	}
	if err != nil {
		return "", err
	}
	return Answer(fmt.Sprintf("%s answered %d%s", s.endpoint.url.Host, r.status, said(r.body))), nil
}
