package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"syncline"
)

// robot speaks DingTalk's protocol: it checks the signature as the robot does, with a program that is not ours, and the keyword.
type robot struct {
	*httptest.Server
	secret, keyword string
	answer          string // "" = what the robot would say
	got             []string
}

func newRobot(t *testing.T, secret, keyword string) *robot {
	r := &robot{secret: secret, keyword: keyword}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *robot) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	say := func(code int, message string) { fmt.Fprintf(w, `{"errcode":%d,"errmsg":%q}`, code, message) } //nolint:errcheck // a test's answer
	var body struct {
		Type string `json:"msgtype"`
		Text struct{ Content string }
	}
	switch err := json.NewDecoder(req.Body).Decode(&body); {
	case r.answer != "":
		io.WriteString(w, r.answer) //nolint:errcheck // as above
	case err != nil || body.Type != "text" || !strings.HasPrefix(req.Header.Get("Content-Type"), "application/json"):
		say(400, "bad request")
	case req.URL.Query().Get("access_token") != "hunter2":
		say(300005, "token is not exist")
	case r.secret != "" && !r.signed(req):
		say(310000, "sign not match")
	case !strings.Contains(body.Text.Content, r.keyword):
		say(310000, "keywords not in content")
	default:
		r.got = append(r.got, body.Text.Content)
		say(0, "ok")
	}
}

// signed has openssl make the signature.
func (r *robot) signed(req *http.Request) bool {
	at := req.URL.Query().Get("timestamp")
	cmd := exec.CommandContext(req.Context(), "openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "key:"+r.secret, "-binary")
	cmd.Stdin = strings.NewReader(at + "\n" + r.secret)
	mac, err := cmd.Output()
	var ms int64
	_, scanErr := fmt.Sscan(at, &ms)
	age := time.Since(time.UnixMilli(ms))
	return err == nil && scanErr == nil && age > -time.Hour && age < time.Hour && req.URL.Query().Get("sign") == base64.StdEncoding.EncodeToString(mac)
}

var news = Message{ID: "lag-firing-1", At: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), Subject: "[Syncline] 告警:同步路由落后", Body: "- route=orders <!channel> & more\n\n处理建议"}

// TestDingTalk: a message is signed as the robot wants it and in the group only when the robot says errcode 0; what else it says, with
// HTTP 200 too, is a failure of the class that tells whether another attempt can help.
func TestDingTalk(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("install openssl")
	}
	r := newRobot(t, "SECsecret+/=", "同步")
	o := DingTalkOptions{URL: r.URL + "/robot/send?access_token=hunter2", Secret: r.secret, AllowPrivate: true}
	send := func(o DingTalkOptions) (Answer, error) {
		t.Helper()
		d, err := NewDingTalk(o)
		if err != nil {
			t.Fatal(err)
		}
		return d.Send(t.Context(), &news)
	}
	if answer, err := send(o); err != nil || !strings.Contains(string(answer), "errcode 0: ok") || len(r.got) != 1 {
		t.Fatalf("Send = %q, %v; the robot got %q", answer, err, r.got)
	}
	r.keyword = "值班"
	if _, err := send(o); syncline.CodeOf(err) != "channel_rejected" || !strings.Contains(err.Error(), "keywords not in content") {
		t.Errorf("without the keyword: %v", err)
	}
	o.Keyword = "值班"
	if _, err := send(o); err != nil || !strings.HasPrefix(r.got[1], "值班\n") {
		t.Errorf("with the keyword: %v, the robot got %q", err, r.got)
	}
	wrong := o
	wrong.Secret = "SECother"
	if _, err := send(wrong); syncline.CodeOf(err) != "channel_rejected" || !strings.Contains(err.Error(), "sign not match") {
		t.Errorf("with another secret: %v", err)
	}
	d, err := NewDingTalk(o)
	if err != nil {
		t.Fatal(err)
	}
	d.now = func() time.Time { return time.Now().Add(-2 * time.Hour) }
	if _, err := d.Send(t.Context(), &news); syncline.CodeOf(err) != "channel_rejected" {
		t.Errorf("with a clock that is wrong: %v", err)
	}
	for answer, class := range map[string]syncline.Class{
		`{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}`: syncline.Transient,
		`{"status":1111,"wait":5,"errcode":130101,"errmsg":"send too fast"}`:      syncline.Transient,
		`{"errcode":-1,"errmsg":"system busy"}`:                                   syncline.Transient,
		`{"errcode":300005,"errmsg":"token is not exist"}`:                        syncline.Rejected,
		`{"errmsg":"ok"}`:      syncline.Rejected,
		`<html>login</html>`:   syncline.Rejected,
		`{"errcode":"broken"}`: syncline.Rejected,
	} {
		r.answer = answer
		_, err := send(o)
		if err == nil || syncline.ClassOf(err) != class {
			t.Errorf("after %s: %v is %s, want %s", answer, err, syncline.ClassOf(err), class)
		}
		var later *RetryError
		if strings.Contains(answer, "130101") && (!errors.As(err, &later) || later.After != dingTalkPenalty) {
			t.Errorf("after %s it comes back at once", answer)
		}
	}
}

// TestSlack: the message is taken with 200; what Slack answers else says whether another attempt can help, and when. Names are no markup.
func TestSlack(t *testing.T) {
	var status int
	var body, after string
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var payload struct{ Text string }
		if err := json.NewDecoder(r.Body).Decode(&payload); err != nil || payload.Text == "" || r.URL.Path != "/services/T0/B0/hunter2" {
			http.Error(w, "invalid_payload", http.StatusBadRequest)
			return
		}
		got = append(got, payload.Text)
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
		io.WriteString(w, body) //nolint:errcheck // a test's answer
	}))
	t.Cleanup(server.Close)
	s, err := NewSlack(SlackOptions{URL: server.URL + "/services/T0/B0/hunter2", AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	status, body = 200, "ok"
	if answer, err := s.Send(t.Context(), &news); err != nil || !strings.HasSuffix(string(answer), "answered 200: ok") {
		t.Errorf("Send = %q, %v", answer, err)
	}
	if want := "*" + news.Subject + "*\n- route=orders &lt;!channel&gt; &amp; more\n\n处理建议"; len(got) != 1 || got[0] != want {
		t.Errorf("Slack got %q, want %q", got, want)
	}
	for _, c := range []struct {
		status      int
		body, after string
		class       syncline.Class
		wait        time.Duration
	}{
		{400, "invalid_payload", "", syncline.Rejected, 0},
		{403, "action_prohibited", "", syncline.Rejected, 0},
		{404, "no_service", "", syncline.Rejected, 0},
		{410, "channel_is_archived", "", syncline.Rejected, 0},
		{302, "", "", syncline.Rejected, 0},
		{429, "rate_limited", "30", syncline.Transient, 30 * time.Second},
		{500, "rollup_error", "", syncline.Transient, 0},
	} {
		status, body, after = c.status, c.body, c.after
		_, err := s.Send(t.Context(), &news)
		var later *RetryError
		wait := time.Duration(0)
		if errors.As(err, &later) {
			wait = later.RetryAfter()
		}
		if err == nil || syncline.ClassOf(err) != c.class || wait != c.wait || !strings.Contains(err.Error(), c.body) {
			t.Errorf("after %d %s: %v is %s, waits %s", c.status, c.body, err, syncline.ClassOf(err), wait)
		}
	}
}

// TestNoErrorShowsTheURL: its path is a secret, whatever goes wrong.
func TestNoErrorShowsTheURL(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // who goes away is noticed only once all was read
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		url  string
		ctx  context.Context
		open bool
		code string
	}{
		"gone":         {gone.URL, t.Context(), true, "channel_unreachable"},
		"slow":         {slow.URL, t.Context(), true, "channel_timeout"},
		"private":      {"https" + strings.TrimPrefix(slow.URL, "http"), t.Context(), false, "address_refused"},
		"canceled":     {slow.URL, canceled, true, ""},
		"no such host": {"https://nowhere.invalid", t.Context(), true, "channel_unreachable"},
	} {
		s, err := NewSlack(SlackOptions{URL: c.url + "/hunter2?token=hunter2", Timeout: 50 * time.Millisecond, AllowPrivate: c.open})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Send(c.ctx, &news)
		if err == nil || strings.Contains(err.Error(), "hunter2") || c.code != "" && syncline.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	for _, raw := range []string{"http://x.example/hunter2", "ftp://hunter2", "hunter2", "https://"} {
		if _, err := NewSlack(SlackOptions{URL: raw}); syncline.CodeOf(err) != "url_invalid" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("NewSlack(%s) = %v", raw, err)
		}
	}
}
