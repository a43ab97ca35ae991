package daemon

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestChannelsOfEachType: a test arrives through each, in the language of the channel.
func TestChannelsOfEachType(t *testing.T) {
	dir := t.TempDir()
	customersToTell(t, dir)
	var mu sync.Mutex
	got := make(map[string]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		got[r.URL.Path] = string(body)
		mu.Unlock()
		if r.URL.Path == "/ding" && r.URL.Query().Get("sign") != "" {
			io.WriteString(w, `{"errcode":0,"errmsg":"ok"}`) //nolint:errcheck // a test's answer
		}
	}))
	t.Cleanup(server.Close)
	mailbox, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mailbox.Close() })
	go takeMail(mailbox, func(text string) { mu.Lock(); got["/mail"] = text; mu.Unlock() })
	t.Setenv("DING_URL", server.URL+"/ding?access_token=hunter2")
	t.Setenv("DING_SECRET", "SEChunter2")
	t.Setenv("CHAT_URL", server.URL+"/chat")
	d := open(t, alertConfig(t, dir, false, `
  ding: {type: dingtalk, url: "${DING_URL}", secret: "${DING_SECRET}", keyword: 值班, language: zh, allow_private: true}
  chat: {type: slack, url: "${CHAT_URL}", allow_private: true, subject: "own {{.State}}"}
  hook: {type: webhook, url: "`+server.URL+`/hook", secret: "${ALERT_SECRET}", allow_private: true, language: zh}
  mail: {type: email, server: "`+mailbox.Addr().String()+`", tls: none, from: a@example.com, to: ["b@example.com"], allow_private: true}
`))
	defer closeDaemon(t, d)
	for name, want := range map[string]string{"ding": "值班", "chat": "own TEST", "hook": "测试", "mail": "Subject: [Syncline] TEST: This channel works"} {
		test, err := engine{d}.TestChannel(t.Context(), name)
		if err != nil || !test.Delivered {
			t.Errorf("%s: %+v, %v", name, test, err)
		}
		mu.Lock()
		if !strings.Contains(got["/"+name], want) {
			t.Errorf("%s got %q, want %q in it", name, got["/"+name], want)
		}
		mu.Unlock()
	}
}

// takeMail is the least of a mail server, for one mail.
func takeMail(l net.Listener, took func(string)) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // a test's
	in := bufio.NewReader(conn)
	say := func(line string) { fmt.Fprintf(conn, "%s\r\n", line) } //nolint:errcheck // as above
	say("220 test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch {
		case strings.HasPrefix(line, "EHLO"), strings.HasPrefix(line, "MAIL"), strings.HasPrefix(line, "RCPT"):
			say("250 ok")
		case strings.HasPrefix(line, "DATA"):
			say("354 go on")
			var b strings.Builder
			for line != ".\r\n" && err == nil {
				line, err = in.ReadString('\n')
				b.WriteString(line)
			}
			took(b.String())
			say("250 taken")
		default:
			say("221 bye")
			return
		}
	}
}
