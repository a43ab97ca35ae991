package config

import (
	"time"

	"syncline/internal/alert"
)

// ChannelType is how a channel tells people.
type ChannelType string

const (
	ChannelWebhook  ChannelType = "webhook"
	ChannelEmail    ChannelType = "email"
	ChannelSlack    ChannelType = "slack"
	ChannelDingTalk ChannelType = "dingtalk"
)

var channelTypes = []ChannelType{ChannelWebhook, ChannelEmail, ChannelSlack, ChannelDingTalk}

// Channel is where alerts are sent.
type Channel struct {
	Name string      `json:"name"`
	Type ChannelType `json:"type"`
	// URL is the endpoint; of all types but email.
	URL Secret `json:"url"`
	// Secret signs what is sent: as in Standard Webhooks, or as DingTalk does.
	Secret Secret `json:"secret"`
	// Keyword is the word that a DingTalk robot asks for; "" = none.
	Keyword string `json:"keyword,omitempty"`
	// Email is set for that type.
	Email *Email `json:"email,omitempty"`
	// Timeout bounds one attempt.
	Timeout time.Duration `json:"timeout"`
	// AllowPrivate lets it connect to loopback, private and link-local addresses.
	AllowPrivate bool           `json:"allow_private"`
	Language     alert.Language `json:"language"`
	// Subject and Body are templates of the operator's; "" = the built-in ones.
	Subject string `json:"subject,omitempty"`
	Body    string `json:"body,omitempty"`
}

// Security is how a connection to a mail server is encrypted.
type Security string

const (
	// SecuritySTARTTLS begins in plain text, and goes no further where the server has no TLS.
	SecuritySTARTTLS Security = "starttls"
	// SecurityTLS begins with TLS.
	SecurityTLS Security = "tls"
	// SecurityNone does without.
	SecurityNone Security = "none"
)

// Email is a mailbox at a server that takes mail.
type Email struct {
	// Server is a host and a port.
	Server string   `json:"server"`
	TLS    Security `json:"tls"`
	// User and Password log in; "" = nobody does.
	User     string `json:"user,omitempty"`
	Password Secret `json:"password"`
	// From and To are addresses, perhaps with names.
	From string   `json:"from"`
	To   []string `json:"to"`
}

// Channel returns the channel of this name, or nil.
func (c *Config) Channel(name string) *Channel {
	for _, ch := range c.Channels {
		if ch.Name == name {
			return ch
		}
	}
	return nil
}
