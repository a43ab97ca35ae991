package alert

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// TestTexts: what people read, in both languages, of a rule of each kind and of every kind of message.
func TestTexts(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 30, 0, 0, time.UTC)
	since := at.Add(-90 * time.Minute)
	routes := []Alert{{Labels: map[string]string{"route": "orders"}, Values: map[string]float64{"lag_seconds": 512.12345, "lag_events": 12000}, Since: since},
		{Labels: map[string]string{"route": "stock"}, Values: map[string]float64{"lag_seconds": 301}, Since: at, Flapping: true}}
	over := []Alert{{Labels: map[string]string{"rule": "customers"}, Values: map[string]float64{"conflicts_waiting": 3}, Since: since, Ended: &at}}
	messages := []Message{
		{What: Firing, Rule: "lag", Severity: Warning, Alerts: routes, Firing: 52, More: 50},
		{What: Reminder, Rule: "log-disk", Severity: Critical, Alerts: []Alert{{Values: map[string]float64{"log_disk_free_ratio": 0.0312}, Since: since}}, Firing: 1},
		{What: Resolved, Rule: "conflicts", Severity: Warning, Alerts: over, Firing: 2},
		{What: Resolved, Rule: "own", Severity: Info, Summary: "Orders arrive late", Alerts: over},
		{What: Test, Rule: "test", Severity: Info},
	}
	for i := range builtIns {
		messages = append(messages, Message{What: Firing, Rule: builtIns[i].spec.Name, Severity: builtIns[i].spec.Severity,
			Alerts: []Alert{{Labels: map[string]string{"route": "r"}, Since: since}}, Firing: 1})
	}
	for _, language := range []Language{English, Chinese} {
		tmpl, err := NewTemplate(language, "", "")
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, m := range messages {
			m.At = at
			text, err := tmpl.Text(&m, "sync-1", time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString("Subject: " + text.Subject + "\n" + text.Body + "\n----\n")
		}
		golden := filepath.Join("testdata", "texts."+string(language)+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || string(want) != b.String() {
			t.Errorf("%s is not what the templates make (%v); see with -update", golden, err)
		}
	}
}

// TestNothingBreaksOutOfALine: a name that holds line breaks and control characters adds no line to a text.
func TestNothingBreaksOutOfALine(t *testing.T) {
	tmpl, err := NewTemplate(English, "", "")
	if err != nil {
		t.Fatal(err)
	}
	evil := "x\r\nBcc: all@example.com\r\n\r\n\x00\u2028DATA"
	lines := func(s string) int {
		m := Message{What: Firing, Rule: s, Summary: s, Severity: Critical, Alerts: []Alert{{Labels: map[string]string{"route": s}, Since: start}}, At: start}
		text, err := tmpl.Text(&m, s, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(text.Subject, "\r\n\x00\u2028") || strings.ContainsAny(text.Body, "\r\x00\u2028") || len([]rune(text.Subject)) > maxSubject {
			t.Errorf("text = %q", text)
		}
		return strings.Count(text.Body, "\n")
	}
	if got, want := lines(evil), lines("x"); got != want {
		t.Errorf("a name makes %d lines of %d", got, want)
	}
	lines(strings.Repeat("long ", 1000))
}

// TestOwnTemplates: an operator's template is tried when it is read; what fails later all the same gives way to the built-in text.
func TestOwnTemplates(t *testing.T) {
	own, err := NewTemplate(Chinese, "{{.Severity}} {{.Rule}}", "")
	if err != nil {
		t.Fatal(err)
	}
	m := examples[0]
	if text, err := own.Text(&m, "h", time.UTC); err != nil || text.Subject != "warning lag" || !strings.Contains(text.Body, "规则:lag") {
		t.Errorf("text = %q, %v", text, err)
	}
	lines, err := NewTemplate(English, "{{.Rule}}\r\nBcc: {{.Host}}\n", "")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := lines.Text(&m, "h", time.UTC); err != nil || text.Subject != "lag Bcc: h" {
		t.Errorf("a subject of several lines = %q, %v", text.Subject, err)
	}
	for _, wrong := range []string{"{{.Nothing}}", "{{.Rule", "{{nosuch .}}", `{{range .Alerts}}{{.Secret}}{{end}}`, `{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`,
		`{{range .Alerts}}{{range $.Alerts}}{{printf "%1000000d" 1}}{{end}}{{end}}`} {
		if _, err := NewTemplate(English, "", wrong); err == nil {
			t.Errorf("NewTemplate takes %s", wrong)
		}
	}
	late, err := NewTemplate(English, "", `{{if gt .Firing 1000}}{{index .Alerts 99}}{{end}}`)
	if err != nil {
		t.Fatal(err)
	}
	m.Firing = 1001
	if text, err := late.Text(&m, "h", time.UTC); err != nil || !strings.Contains(text.Body, "Rule: lag") {
		t.Errorf("a template that fails: %q, %v", text, err)
	}
	long, err := NewTemplate(English, "", `{{printf "%100000d" 1}}`)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := long.Text(&m, "h", time.UTC); err != nil || len(text.Body) > maxBody {
		t.Errorf("a long text has %d bytes, %v", len(text.Body), err)
	}
}
