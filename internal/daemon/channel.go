package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"syncline"
	"syncline/internal/alert"
	"syncline/internal/config"
	"syncline/internal/notify"
	"syncline/internal/webhook"
)

// channel tells people.
type channel struct {
	*config.Channel
	template *alert.Template
	post     post
}

// post delivers a message, and returns what was answered.
type post func(ctx context.Context, m *alert.Message, text alert.Text) (string, error)

// newChannels makes what the configuration tells people with, and takes over what is as it was.
func newChannels(ctx context.Context, c *config.Config, was *set, log *slog.Logger) (map[string]*channel, error) {
	made := make(map[string]*channel, len(c.Channels))
	for _, one := range c.Channels {
		if old := was.channels[one.Name]; old != nil && config.Same(old.Channel, one) {
			made[one.Name] = old
			continue
		}
		ch, err := newChannel(ctx, one, log)
		if err != nil {
			return nil, fmt.Errorf("channel %s: %w", one.Name, err)
		}
		made[one.Name] = ch
	}
	return made, nil
}

// channels makes each type's way to deliver.
var channels = map[config.ChannelType]func(context.Context, *config.Channel, *slog.Logger) (post, error){
	config.ChannelWebhook: webhookChannel,
	config.ChannelEmail: func(_ context.Context, c *config.Channel, log *slog.Logger) (post, error) {
		e, err := notify.NewEmail(notify.EmailOptions{Server: c.Email.Server, TLS: string(c.Email.TLS), User: c.Email.User, Password: c.Email.Password.Reveal(),
			From: c.Email.From, To: c.Email.To, Timeout: c.Timeout, AllowPrivate: c.AllowPrivate, Logger: log.With("channel", c.Name)})
		return notified(e, err)
	},
	config.ChannelSlack: func(_ context.Context, c *config.Channel, _ *slog.Logger) (post, error) {
		s, err := notify.NewSlack(notify.SlackOptions{URL: c.URL.Reveal(), Timeout: c.Timeout, AllowPrivate: c.AllowPrivate})
		return notified(s, err)
	},
	config.ChannelDingTalk: func(_ context.Context, c *config.Channel, _ *slog.Logger) (post, error) {
		t, err := notify.NewDingTalk(notify.DingTalkOptions{URL: c.URL.Reveal(), Secret: c.Secret.Reveal(), Keyword: c.Keyword, Timeout: c.Timeout,
			AllowPrivate: c.AllowPrivate})
		return notified(t, err)
	},
}

func newChannel(ctx context.Context, c *config.Channel, log *slog.Logger) (*channel, error) {
	ch := &channel{Channel: c}
	var err error
	if ch.template, err = alert.NewTemplate(c.Language, c.Subject, c.Body); err != nil {
		return nil, err
	}
	ch.post, err = channels[c.Type](ctx, c, log)
	return ch, err
}

func notified(to interface {
	Send(context.Context, *notify.Message) (notify.Answer, error)
}, err error,
) (post, error) {
	return func(ctx context.Context, m *alert.Message, text alert.Text) (string, error) {
		answer, err := to.Send(ctx, &notify.Message{ID: m.ID, At: m.At, Subject: text.Subject, Body: text.Body})
		return string(answer), err
	}, err
}

// webhookMessage is what a webhook gets: the payload that Standard Webhooks recommends.
type webhookMessage struct {
	Type      string      `json:"type"`
	Timestamp time.Time   `json:"timestamp"`
	Data      webhookData `json:"data"`
}

type webhookData struct {
	*alert.Message
	Host    string `json:"host"`
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

func webhookChannel(ctx context.Context, c *config.Channel, _ *slog.Logger) (post, error) {
	t, err := webhook.Open(ctx, webhook.Options{URL: c.URL.Reveal(), Secrets: []string{c.Secret.Reveal()}, Timeout: c.Timeout, Concurrency: 1, AllowPrivate: c.AllowPrivate})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, m *alert.Message, text alert.Text) (string, error) {
		body, err := json.Marshal(webhookMessage{"alert." + m.What, m.At, webhookData{m, hostname(), text.Subject, text.Body}})
		if err != nil {
			return "", err
		}
		if err := t.Post(ctx, m.ID, body); err != nil {
			return "", err
		}
		return "the endpoint took it", nil
	}, nil
}

// send makes the message's text and delivers it.
func (c *channel) send(ctx context.Context, m *alert.Message) (string, error) {
	text, err := c.template.Text(m, hostname(), time.Local)
	if err != nil {
		return "", err
	}
	return c.post(ctx, m, text)
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "syncline"
	}
	return name
}

// hopeless reports whether so many attempts, the first of them so long ago, are enough. A refusal may be over once somebody has corrected
// the other end, which is why it is not final at once. Nor is an age alone:
// it may come of a clock that was set.
func hopeless(err error, attempts int, age time.Duration) bool {
	if syncline.ClassOf(err) == syncline.Transient {
		return age >= deliverFor && attempts >= deliverRefused || attempts >= deliverMost
	}
	return attempts >= deliverRefused
}
