package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"syncline"
)

// TestAnswersThatRepeatASecret: what a service repeats of what it was sent is neither in the error nor in the answer that is shown, whether it takes
// the message or not; the rest of what it says is.
func TestAnswersThatRepeatASecret(t *testing.T) {
	const secret, coded = "hunter2/x", "hunter2%2Fx"
	for _, status := range []int{200, 400, 404, 503} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			said := fmt.Sprintf("no route for %s %s %q %s", r.Method, r.URL, r.URL.Path, r.Header.Get("Authorization"))
			w.WriteHeader(status)
			if r.URL.Query().Has("sign") {
				text, _ := json.Marshal(said + " " + r.URL.Query().Get("sign"))
				_, _ = fmt.Fprintf(w, `{"errcode": %d, "errmsg": %s}`, status-200, text)
				return
			}
			_, _ = w.Write([]byte(said))
		}))
		t.Cleanup(server.Close)
		base := strings.Replace(server.URL, "://", "://user:hunter2pass@", 1)
		slack, err := NewSlack(SlackOptions{URL: base + "/services/" + coded + "?token=" + coded, AllowPrivate: true})
		if err != nil {
			t.Fatal(err)
		}
		robot, err := NewDingTalk(DingTalkOptions{URL: base + "/robot/send?access_token=" + coded, Secret: "SEChunter2", AllowPrivate: true})
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]interface {
			Send(ctx context.Context, m *Message) (Answer, error)
		}{"slack": slack, "dingtalk": robot} {
			answer, err := c.Send(t.Context(), &news)
			shown := string(answer)
			if err != nil {
				shown = err.Error() + syncline.FixOf(err)
			}
			if !strings.Contains(shown, "no route for POST") || strings.Contains(shown, "hunter2") || strings.Contains(shown, "sign=") && !strings.Contains(shown, "sign=…") {
				t.Errorf("%s, answered %d: %s", name, status, shown)
			}
		}
	}
	server, pool := newMailServer(t, &mailServer{offers: []string{"STARTTLS", "AUTH PLAIN"}, login: "\x00sync\x00another",
		answers: map[string]string{"AUTH": "535 5.7.8 hunter2" + secret + " AHN5bmMAaHVudGVyMmh1bnRlcjIveA== is no login"}})
	o := server.options(pool)
	o.TLS, o.User, o.Password = "starttls", "sync", "hunter2"+secret
	if _, err := sendMail(t, o, &news); err == nil || !strings.Contains(err.Error(), "is no login") || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "AHN5") {
		t.Errorf("a mail server that repeats the password: %v", err)
	}
}
