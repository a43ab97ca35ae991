package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"syncline/internal/failpoint"
	"syncline/internal/ops"
	"syncline/internal/state"
	"syncline/internal/webhook"
)

const pagerSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// pager is a webhook that checks signatures and keeps "TYPE RULE ID" of what it got.
type pager struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func newPager(t *testing.T) *pager {
	p := &pager{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = webhook.Verify(pagerSecret, r.Header, body, time.Now(), 0)
		}
		var m struct {
			Type string
			Data struct{ Rule string }
		}
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.got = append(p.got, m.Type+" "+m.Data.Rule+" "+r.Header.Get(webhook.HeaderID))
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *pager) messages() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// firing has one alert that always fires, and no other.
func firing(t *testing.T) (*program, *pager) {
	receiver := newPager(t)
	p := newProgram(t, `
systems:
  shop: {type: sqlite, path: shop.db, capture: {manage: true, entities: {item: {table: item}}}}
  report: {type: sqlite, path: report.db}
rules:
  - {id: items, from: shop/item, to: report/item, create: true}
channels:
  pager: {type: webhook, url: "`+receiver.URL+`/hunter2", secret: "${PAGER_SECRET}", allow_private: true}
alerts:
  - {id: disk, when: log_disk_free_ratio < 2, severity: critical}
  - {id: quiet, when: log_disk_free_ratio > 2}
  - {id: log-disk, enabled: false}
  - {id: health-critical, enabled: false}
`, "PAGER_SECRET="+pagerSecret)
	makeShop(t, filepath.Join(p.dir, "shop.db"))
	return p, receiver
}

// lookNow has the alerts look at their signals, whose time would come in ten seconds. The process may be killed by that.
func (p *program) lookNow() {
	_, _ = p.client().Silence(p.t.Context(), ops.SilenceRequest{Rule: "quiet", ForSeconds: 60, Reason: "test"})
}

// TestACrashNeitherLosesNorRepeatsAnAlert: killed at each moment of a message's life, the process tells it after the next start: once, or twice
// under one id where it cannot know that it was delivered.
func TestACrashNeitherLosesNorRepeatsAnAlert(t *testing.T) {
	for _, name := range failpoint.Alert {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, receiver := firing(t)
			p.start("SYNCLINE_FAILPOINT=" + name)
			p.ready()
			p.lookNow()
			if err := p.died(); err == nil {
				t.Fatal("the process was not killed")
			}
			p.start()
			p.ready()
			p.lookNow()
			eventually(t, "the message is delivered", func(ctx context.Context) error {
				told, err := p.client().AlertHistory(ctx, state.ToldFilter{})
				switch {
				case err != nil:
					return err
				case len(told) != 1 || len(told[0].Deliveries) != 1 || told[0].Deliveries[0].Status != state.DeliverySent:
					return fmt.Errorf("the history is %+v", told)
				}
				return nil
			})
			want := 1
			if name == "daemon.alert.delivered" {
				want = 2
			}
			got := receiver.messages()
			if len(got) != want || len(slices.Compact(got)) != 1 || !strings.HasPrefix(got[0], "alert.firing disk disk-firing-") {
				t.Errorf("the channel got %q", receiver.messages())
			}
		})
	}
}

// TestAlertsByCommand: what fires, what was told, the rules and the channels are shown; a silence is made and ended; a channel is tried.
func TestAlertsByCommand(t *testing.T) {
	t.Parallel()
	p, receiver := firing(t)
	p.start()
	p.ready()
	p.lookNow()
	eventually(t, "the message is delivered", func(context.Context) error {
		if len(receiver.messages()) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	show := func(code int, args ...string) string {
		t.Helper()
		out, talk := p.command(code, append(args, "--server", p.url())...)
		return out + talk
	}
	for _, c := range []struct {
		code int
		args string
		want []string
	}{
		{exitOK, "alerts", []string{"firing  critical  disk   the whole  log_disk_free_ratio="}},
		{exitOK, "alerts history --rule disk", []string{"firing", "pager sent"}},
		{exitOK, "alerts rules", []string{"disk", "log_disk_free_ratio < 2", "schedule-missed", "off"}},
		{exitOK, "alerts channels -o json", []string{`"name": "pager"`, `"waiting": 0`}},
		{exitOK, "alerts test pager", []string{"pager: delivered in", "the endpoint took it"}},
		{exitOK, "alerts silence disk --for 1h --label route=items --reason migration", []string{"disk", "route=items", "migration"}},
		{exitOK, "alerts silences -o yaml", []string{"reason: migration"}},
		{exitOK, "status", []string{"running"}},
		{exitUsage, "alerts silence disk --for 1h", []string{"--reason"}},
		{exitUsage, "alerts silence --all --reason x", []string{"--for"}},
		{exitUsage, "alerts silence --for 1h --reason x", []string{"--all"}},
		{exitFailed, "alerts test pagr", []string{"channel_not_found"}},
		{exitFailed, "alerts silence dsk --for 1h --reason x", []string{"alert_not_found"}},
		{exitFailed, "alerts unsilence nothing", []string{"silence_not_found"}},
	} {
		got := show(c.code, strings.Fields(c.args)...)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("syncline %s lacks %q:\n%s", c.args, want, got)
			}
		}
	}
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(show(exitOK, "alerts", "silences", "-o", "json")), &list); err != nil || len(list) < 2 {
		t.Fatalf("silences = %+v, %v", list, err)
	}
	for _, one := range list {
		show(exitOK, "alerts", "unsilence", one.ID)
	}
	if got := show(exitOK, "alerts", "silences"); strings.Contains(got, "migration") {
		t.Errorf("after their end there are the silences\n%s", got)
	}
	if got := show(exitOK, "audit"); !strings.Contains(got, "test-channel") || !strings.Contains(got, "silence-alerts") || !strings.Contains(got, "end-silence") {
		t.Errorf("the audit log lacks what was done:\n%s", got)
	}
	receiver.Close()
	if got := show(exitFailed, "alerts", "test", "pager"); !strings.Contains(got, "not delivered: endpoint_unreachable") || strings.Contains(got, "hunter2") {
		t.Errorf("a channel that is gone:\n%s", got)
	}
	if log := p.log.String(); !strings.Contains(log, "alert is firing") || strings.Contains(log, "hunter2") {
		t.Errorf("the log does not tell of the alert, or shows the URL:\n%s", log)
	}
}
