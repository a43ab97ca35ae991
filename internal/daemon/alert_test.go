package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline/internal/config"
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
