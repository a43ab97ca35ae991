package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"syncline"
)

// DingTalk posts to a group's custom robot (open.dingtalk.com, "Custom robot access" and "Security settings"). The robot answers 200 to
// everything that it understands: only errcode 0 says that the message is in the group.
type DingTalk struct {
	endpoint        *endpoint
	secret, keyword string
	now             func() time.Time
}

// DingTalkOptions say where. URL has the robot's token, and is a secret.
type DingTalkOptions struct {
	URL string
	// Secret signs, where the robot is set to that; Keyword is a word that every message must have, where it is set to that.
	Secret, Keyword string
	Timeout         time.Duration // 0 = 15 s
	AllowPrivate    bool
}

// Codes of the robot. It takes 20 messages a minute; who sends more is left out for ten minutes.
const (
	dingTalkBusy    = -1
	dingTalkTooFast = 130101
	dingTalkPenalty = 10 * time.Minute
)

// NewDingTalk checks the options. It connects to nothing.
func NewDingTalk(o DingTalkOptions) (*DingTalk, error) {
	e, err := newEndpoint(o.URL, o.Timeout, o.AllowPrivate)
	return &DingTalk{e, o.Secret, o.Keyword, time.Now}, err
}

// signed is the URL with the time in milliseconds and its signature: the HMAC-SHA256, keyed with the secret, of the time, a line break
// and the secret, in base64. The robot refuses a time that is more than an hour from its own.
func (d *DingTalk) signed() *url.URL {
	to := *d.endpoint.url
	if d.secret == "" {
		return &to
	}
	at := strconv.FormatInt(d.now().UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte(d.secret))
	mac.Write([]byte(at + "\n" + d.secret)) //nolint:errcheck // a hash never fails
	q := to.Query()
	q.Set("timestamp", at)
	q.Set("sign", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	to.RawQuery = q.Encode()
	return &to
}

// dingTalkMessage is what the robot takes: of type text here.
type dingTalkMessage struct {
	Type string       `json:"msgtype"`
	Text dingTalkText `json:"text"`
}

type dingTalkText struct {
	Content string `json:"content"`
}

// Send delivers a message.
func (d *DingTalk) Send(ctx context.Context, m *Message) (Answer, error) {
	content := m.Subject + "\n\n" + m.Body
	if !strings.Contains(content, d.keyword) {
		content = d.keyword + "\n" + content
	}
	document, err := json.Marshal(dingTalkMessage{"text", dingTalkText{content}})
	if err != nil {
		return "", fmt.Errorf("write the message: %w", err)
	}
	r, err := d.endpoint.post(ctx, d.signed(), document)
	if err == nil {
		err = d.endpoint.status(r)
	}
	if err != nil {
		return "", err
	}
	host := d.endpoint.url.Host
	var answer struct {
		Code    *int   `json:"errcode"`
		Message string `json:"errmsg"`
	}
	if err := json.Unmarshal(r.body, &answer); err != nil || answer.Code == nil {
		return "", syncline.Errorf(syncline.Rejected, "channel_rejected", "%s answered %d without an errcode%s", host, r.status, said(r.body)).
			WithFix("check that the channel's URL is that of a DingTalk robot")
	}
	switch text := said([]byte(answer.Message)); *answer.Code {
	case 0:
		return Answer(fmt.Sprintf("%s answered errcode 0%s", host, text)), nil
	case dingTalkTooFast:
		return "", retryable(syncline.Errorf(syncline.Transient, "channel_unavailable", "%s answered errcode %d%s", host, *answer.Code, text), dingTalkPenalty)
	case dingTalkBusy:
		return "", syncline.Errorf(syncline.Transient, "channel_unavailable", "%s answered errcode %d%s", host, *answer.Code, text)
	default:
		return "", syncline.Errorf(syncline.Rejected, "channel_rejected", "%s answered errcode %d%s", host, *answer.Code, text).
			WithFix("310000: the channel's secret or keyword is not the robot's, this machine's clock is wrong, or its address is not allowed there")
	}
}
