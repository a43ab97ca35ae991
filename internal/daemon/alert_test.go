package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline"
	"syncline/internal/alert"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/webhook"
)

const alertSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// listener is a channel's server: it keeps what it got, and answers what it is told to.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	got    []string // "WHAT ALERT ID" of a webhook's message, the text of another one
	answer int
	hang   bool
}

func newListener(t *testing.T) *listener {
	l := &listener{answer: http.StatusOK}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil || l.hang {
			l.mu.Unlock()
			<-r.Context().Done()
			l.mu.Lock()
			return
		}
		if l.answer != http.StatusOK {
			http.Error(w, "refused", l.answer)
			return
		}
		text := string(body)
		if r.Header.Get(webhook.HeaderSignature) != "" {
			var m struct {
				Type string
				Data struct{ Rule, Subject string }
			}
			if err := webhook.Verify(alertSecret, r.Header, body, time.Now(), 0); err != nil {
				text = err.Error()
			} else if err := json.Unmarshal(body, &m); err != nil || m.Data.Subject == "" {
				text = fmt.Sprintf("not the payload of an alert: %s", body)
			} else {
				text = m.Type + " " + m.Data.Rule + " " + r.Header.Get(webhook.HeaderID)
			}
		}
		l.got = append(l.got, text)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) set(answer int) { l.mu.Lock(); l.answer = answer; l.mu.Unlock() }

func (l *listener) texts() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.got...)
}

// alertConfig has the disk's rule fire where fires, and another one that never does.
func alertConfig(t *testing.T, dir string, fires bool, channels string) *config.Config {
	t.Helper()
	t.Setenv("ALERT_SECRET", alertSecret)
	compare := ">"
	if fires {
		compare = "<"
	}
	return load(t, dir, head+`
state: {url: "sqlite:$DIR/state.db"}
log: {dir: $DIR/log}
systems:
  crm: {type: sqlite, url: "sqlite:$DIR/crm.db", capture: {manage: true, entities: {customer: {table: customer}}}}
  dw: {type: sqlite, url: "sqlite:$DIR/dw.db"}
rules:
  - {id: customer, from: crm/customer, to: dw/party, create: true}
alerts:
  - {id: disk, when: log_disk_free_ratio `+compare+` 2, severity: critical, repeat: 0s}
  - {id: log-disk, enabled: false}
  - {id: health-critical, enabled: false}
channels:
`+channels)
}

func openAlerting(t *testing.T, c *config.Config) (d *Daemon, step func(after time.Duration), stop func()) {
	t.Helper()
	d = open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	var delivering sync.WaitGroup
	delivering.Go(func() { d.deliverAlerts(ctx) })
	stop = sync.OnceFunc(func() { cancel(); delivering.Wait(); closeDaemon(t, d) })
	t.Cleanup(stop)
	known := make(saved)
	for key, i := range d.alerting.instances {
		known[key] = i
	}
	return d, func(after time.Duration) {
		t.Helper()
		if err := d.stepAlerts(ctx, known, d.started.Add(after)); err != nil {
			t.Fatal(err)
		}
	}, stop
}

func customersToTell(t *testing.T, dir string) {
	crm := database(t, filepath.Join(dir, "crm.db"))
	database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)`)
}

// TestAlertsReachTheirChannels: what fires is told once through each channel, signed, also by one that fails at first; a restart and another
// configuration neither repeat nor forget it; its end is told once.
func TestAlertsReachTheirChannels(t *testing.T) {
	dir := t.TempDir()
	customersToTell(t, dir)
	hook, chat := newListener(t), newListener(t)
	t.Setenv("CHAT_URL", chat.URL+"/services/hunter2")
	channels := `
  hook: {type: webhook, url: "` + hook.URL + `", secret: "${ALERT_SECRET}", allow_private: true}
  chat: {type: slack, url: "${CHAT_URL}", allow_private: true, language: zh}
`
	chat.set(http.StatusServiceUnavailable)
	d, step, stop := openAlerting(t, alertConfig(t, dir, true, channels))
	step(2 * time.Minute)
	eventually(t, "the webhook has it", func() bool { return len(hook.texts()) == 1 })
	if got := hook.texts()[0]; !strings.HasPrefix(got, "alert.firing disk disk-firing-") {
		t.Errorf("the webhook got %q", got)
	}
	e := engine{d}
	eventually(t, "the status tells that Slack did not take it", func() bool {
		s, err := e.Status(t.Context())
		return err == nil && len(s.Warnings) == 1 && strings.Contains(s.Warnings[0], "channel chat, 1 wait: channel_unavailable: 127.0.0.1") && !strings.Contains(s.Warnings[0], "hunter2")
	})
	chat.set(http.StatusOK)
	eventually(t, "Slack has it", func() bool { return len(chat.texts()) == 1 })
	if got := chat.texts()[0]; !strings.Contains(got, "告警:disk") {
		t.Errorf("Slack got %s", got)
	}
	eventually(t, "no warning is left", func() bool { return len(d.deliveryWarnings()) == 0 })
	step(4 * time.Minute)
	active, err := e.Alerts(t.Context())
	if err != nil || len(active) != 1 || active[0].Rule != "disk" || active[0].State != "firing" || active[0].Told == nil {
		t.Errorf("Alerts = %+v, %v", active, err)
	}
	stop()

	d, step, _ = openAlerting(t, alertConfig(t, dir, true, channels))
	step(6 * time.Minute)
	quiet := alertConfig(t, dir, false, channels)
	set, err := d.newSet(t.Context(), quiet, d.set())
	if err != nil {
		t.Fatal(err)
	}
	if set.channels["hook"] != d.set().channels["hook"] {
		t.Error("a channel that stays was made anew")
	}
	d.current.Store(set)
	step(8 * time.Minute)
	step(10 * time.Minute)
	eventually(t, "the end is told", func() bool { return len(hook.texts()) == 2 && len(chat.texts()) == 2 })
	if got := hook.texts()[1]; !strings.HasPrefix(got, "alert.resolved disk ") {
		t.Errorf("the webhook got %q", got)
	}
	told, _, err := engine{d}.AlertHistory(t.Context(), state.ToldFilter{})
	if err != nil || len(told) != 2 {
		t.Fatalf("the history is %+v, %v", told, err)
	}
	eventually(t, "the history has all deliveries", func() bool {
		told, _, err := engine{d}.AlertHistory(t.Context(), state.ToldFilter{})
		return err == nil && told[0].Deliveries[0].Status == state.DeliverySent && told[0].Deliveries[1].Status == state.DeliverySent
	})
	if told[1].Deliveries[0].Channel != "chat" || told[1].Deliveries[0].Attempts < 2 {
		t.Errorf("the first message: %+v", told[1].Deliveries)
	}
}

// TestAChannelThatHangsHoldsUpNoOther: each channel is told for itself.
func TestAChannelThatHangsHoldsUpNoOther(t *testing.T) {
	dir := t.TempDir()
	customersToTell(t, dir)
	dead, alive := newListener(t), newListener(t)
	dead.hang = true
	_, step, stop := openAlerting(t, alertConfig(t, dir, true, `
  dead: {type: webhook, url: "`+dead.URL+`", secret: "${ALERT_SECRET}", allow_private: true, timeout: 60s}
  alive: {type: webhook, url: "`+alive.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
`))
	step(2 * time.Minute)
	eventually(t, "the other channel has it", func() bool { return len(alive.texts()) == 1 })
	stop() // ends although a delivery hangs
}

// TestARefusedMessageIsGivenUp: after a few attempts, visibly; what comes behind it is delivered.
func TestARefusedMessageIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	customersToTell(t, dir)
	hook := newListener(t)
	hook.set(http.StatusForbidden)
	d := open(t, alertConfig(t, dir, true, `
  hook: {type: webhook, url: "`+hook.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
`))
	defer closeDaemon(t, d)
	ctx := t.Context()
	message := func(id string) alert.Message {
		return alert.Message{ID: id, At: time.Now(), What: alert.Firing, Rule: "disk", Severity: alert.Critical, Alerts: []alert.Alert{}, Channels: []string{"hook", "gone"}}
	}
	if err := d.state.SaveAlerts(ctx, nil, nil, []alert.Message{message("one"), message("two")}); err != nil {
		t.Fatal(err)
	}
	try := func() bool {
		t.Helper()
		list, err := d.state.Undelivered(ctx, "hook", 1)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d wait, %v", len(list), err)
		}
		list[0].NextTry = time.Time{}
		return d.deliverOne(ctx, "hook", &list[0])
	}
	for attempt := 1; attempt < deliverRefused; attempt++ {
		if try() {
			t.Fatalf("it was given up after %d attempts", attempt)
		}
	}
	if !try() {
		t.Fatalf("it was not given up after %d attempts", deliverRefused)
	}
	hook.set(http.StatusOK)
	d.deliver(ctx, "hook")
	d.deliver(ctx, "gone")
	if got := hook.texts(); len(got) != 1 || got[0] != "alert.firing disk two" {
		t.Errorf("the channel got %q", got)
	}
	told, _, err := d.state.Told(ctx, state.ToldFilter{Failed: true})
	if err != nil || len(told) != 2 || told[1].Deliveries[1].Code != "endpoint_rejected" || told[1].Deliveries[1].Attempts != deliverRefused ||
		told[0].Deliveries[0].Code != "channel_not_found" {
		t.Errorf("what was not delivered: %+v, %v", told, err)
	}
	for _, c := range []struct {
		err      error
		attempts int
		age      time.Duration
		want     bool
	}{
		{syncline.Errorf(syncline.Transient, "channel_timeout", "x"), 1000, deliverFor - time.Second, false},
		{syncline.Errorf(syncline.Transient, "channel_timeout", "x"), 1, deliverFor, true},
		{syncline.Errorf(syncline.Rejected, "channel_rejected", "x"), deliverRefused - 1, deliverFor, false},
	} {
		if got := hopeless(c.err, c.attempts, c.age); got != c.want {
			t.Errorf("hopeless(%v, %d, %s) = %v", c.err, c.attempts, c.age, got)
		}
	}
}

// TestAStoreThatFailsHoldsDeliveryUp: a message whose outcome cannot be noted is not sent again at once, nor is one that cannot be read
// looked for without a pause; who asks sees why. Once the store is well, everything is delivered.
func TestAStoreThatFailsHoldsDeliveryUp(t *testing.T) {
	for name, c := range map[string]struct {
		breaks, mends string
		answer, sent  int
	}{
		"delivered unnoted": {`CREATE TRIGGER full BEFORE UPDATE ON alert_delivery BEGIN SELECT RAISE(ABORT, 'full'); END`, `DROP TRIGGER full`, http.StatusOK, 2},
		"refused unnoted":   {`CREATE TRIGGER full BEFORE UPDATE ON alert_delivery BEGIN SELECT RAISE(ABORT, 'full'); END`, `DROP TRIGGER full`, http.StatusForbidden, 1},
		"unreadable":        {`UPDATE alert_message SET message = '{' || message`, `UPDATE alert_message SET message = substr(message, 2)`, http.StatusOK, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir, ctx := t.TempDir(), t.Context()
			customersToTell(t, dir)
			hook := newListener(t)
			hook.set(c.answer)
			d := open(t, alertConfig(t, dir, true, `
  hook: {type: webhook, url: "`+hook.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
`))
			defer closeDaemon(t, d)
			m := alert.Message{ID: "one", At: time.Now(), What: alert.Firing, Rule: "disk", Severity: alert.Critical, Alerts: []alert.Alert{}, Channels: []string{"hook"}}
			if err := d.state.SaveAlerts(ctx, nil, nil, []alert.Message{m}); err != nil {
				t.Fatal(err)
			}
			db := database(t, filepath.Join(dir, "state.db"))
			exec(t, db, c.breaks)
			before := time.Now()
			if d.deliver(ctx, "hook"); d.due("hook", 1, before) {
				t.Error("it is tried again at once")
			}
			if list := d.deliveryWarnings(); len(list) != 1 {
				t.Errorf("warnings = %q", list)
			}
			exec(t, db, c.mends)
			hook.set(http.StatusOK)
			d.deliver(ctx, "hook")
			if got := hook.texts(); len(got) != c.sent || len(d.deliveryWarnings()) != 0 {
				t.Errorf("the channel got %q, warnings %q", got, d.deliveryWarnings())
			}
		})
	}
}

// waitingFor is the delivery that waits for the channel, put off.
func waitingFor(t *testing.T, d *Daemon, channel string, until time.Time) *state.Delivery {
	t.Helper()
	list, err := d.state.Undelivered(t.Context(), channel, 1)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d messages wait, %v", len(list), err)
	}
	list[0].NextTry = until
	return &list[0].Delivery
}

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

// TestSilencesAndTests: a silence keeps messages back until it is ended, and outlives a restart; a test is sent at once and tells the answer.
func TestSilencesAndTests(t *testing.T) {
	dir := t.TempDir()
	customersToTell(t, dir)
	hook := newListener(t)
	c := alertConfig(t, dir, true, `
  hook: {type: webhook, url: "`+hook.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
`)
	d, step, stop := openAlerting(t, c)
	e := engine{d}
	ctx := t.Context()
	for _, wrong := range []ops.SilenceRequest{
		{Rule: "disk"}, {Rule: "disk", ForSeconds: 1e12}, {Rule: "disk", Until: &d.started}, {Labels: map[string]string{"colour": "red"}, ForSeconds: 60},
	} {
		if _, err := e.Silence(ctx, wrong); syncline.CodeOf(err) != "silence_invalid" {
			t.Errorf("Silence(%+v) = %v, want silence_invalid", wrong, err)
		}
	}
	if _, err := e.Silence(ctx, ops.SilenceRequest{Rule: "dsk", ForSeconds: 60}); syncline.CodeOf(err) != "alert_not_found" {
		t.Errorf("a silence of an alert that there is not: %v", err)
	}
	q, err := e.Silence(ctx, ops.SilenceRequest{Rule: "disk", ForSeconds: 3600, Reason: "tonight"})
	if err != nil {
		t.Fatal(err)
	}
	step(2 * time.Minute)
	if list, err := e.Alerts(ctx); err != nil || len(list) != 1 || list[0].Silence != q.ID || list[0].Told != nil {
		t.Errorf("Alerts = %+v, %v", list, err)
	}
	stop()
	d, step, _ = openAlerting(t, c)
	e = engine{d}
	step(2 * time.Minute)
	if told, _, err := e.AlertHistory(ctx, state.ToldFilter{}); err != nil || len(told) > 0 {
		t.Errorf("in a silence was told: %+v, %v", told, err)
	}
	test, err := e.TestChannel(ctx, "hook")
	if err != nil || !test.Delivered || test.Answer == "" {
		t.Errorf("test = %+v, %v", test, err)
	}
	if err := e.EndSilence(ctx, q.ID); err != nil {
		t.Fatal(err)
	}
	step(3 * time.Minute)
	eventually(t, "it is told after the silence", func() bool { return len(hook.texts()) == 2 })
	if got := hook.texts(); !strings.HasPrefix(got[0], "alert.test test test-") || !strings.HasPrefix(got[1], "alert.firing disk ") {
		t.Errorf("the channel got %q", got)
	}
	hook.set(http.StatusForbidden)
	c = alertConfig(t, dir, false, `
  hook: {type: webhook, url: "`+hook.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
`)
	set, err := d.newSet(ctx, c, d.set())
	if err != nil {
		t.Fatal(err)
	}
	d.current.Store(set)
	step(5 * time.Minute)
	eventually(t, "the end of it is refused", func() bool { return len(d.deliveryWarnings()) == 1 })
	if err := d.state.EndDelivery(ctx, waitingFor(t, d, "hook", time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	hook.set(http.StatusOK)
	if test, err := e.TestChannel(ctx, "hook"); err != nil || !test.Delivered {
		t.Errorf("test = %+v, %v", test, err)
	}
	eventually(t, "what waits is tried at once where a test was delivered", func() bool { return len(hook.texts()) == 4 })
	hook.set(http.StatusForbidden)
	if test, err := e.TestChannel(ctx, "hook"); err != nil || test.Delivered || test.Error.Code != "endpoint_rejected" {
		t.Errorf("a test that is refused = %+v, %v", test, err)
	}
	if _, err := e.TestChannel(ctx, "hok"); syncline.CodeOf(err) != "channel_not_found" {
		t.Errorf("a test of no channel: %v", err)
	}
	rules, err := e.AlertRules(ctx)
	if err != nil || len(rules) < 9 || rules[0].ID != "lag" || !rules[0].BuiltIn || !rules[0].Enabled {
		t.Errorf("AlertRules = %+v, %v", rules, err)
	}
	eventually(t, "the channel is shown with what it was sent", func() bool {
		channels, err := e.AlertChannels(ctx)
		return err == nil && len(channels) == 1 && channels[0].Type == "webhook" && channels[0].LastSent != nil && channels[0].Waiting == 0
	})
}

// TestAConflictIsTold: a built-in alert finds what it is for, without being written down, soon after it happens.
func TestAConflictIsTold(t *testing.T) {
	dir := t.TempDir()
	crm, dw := database(t, filepath.Join(dir, "crm.db")), database(t, filepath.Join(dir, "dw.db"))
	exec(t, crm, `CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER); INSERT INTO customer VALUES (1, 'Ann', 1)`)
	hook := newListener(t)
	t.Setenv("ALERT_SECRET", alertSecret)
	d, _ := runningUntil(t, load(t, dir, conflicts+`
channels:
  hook: {type: webhook, url: "`+hook.URL+`", secret: "${ALERT_SECRET}", allow_private: true}
alerts:
  - {id: health-critical, enabled: false}
  - {id: log-disk, enabled: false}
`))
	holds(t, dw, parties, "1 Ann 1")
	exec(t, dw, `UPDATE party SET name = 'Theirs' WHERE id = 1`)
	exec(t, crm, `UPDATE customer SET name = 'Ours' WHERE id = 1`)
	eventually(t, "somebody is told of the conflict", func() bool { return len(hook.texts()) > 0 })
	if got := hook.texts()[0]; !strings.HasPrefix(got, "alert.firing conflicts ") {
		t.Errorf("the channel got %q", got)
	}
	list, err := engine{d}.Alerts(t.Context())
	if err != nil || len(list) != 1 || list[0].Labels["rule"] != "customer" || list[0].Values["conflicts_waiting"] != 1 {
		t.Errorf("Alerts = %+v, %v", list, err)
	}
}
