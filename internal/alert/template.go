package alert

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// Language is that of messages.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// Text is a message as people read it. Subject is one line.
type Text struct{ Subject, Body string }

const (
	maxSubject = 200       // characters
	maxBody    = 15_000    // bytes: less than what any channel takes
	maxMade    = 256 << 10 // bytes that a template may make before it is stopped
)

// View is what templates see of a message: text for people, without line breaks and control characters.
type View struct {
	// What is firing, resolved, reminder or test; State is that in the language.
	What, State string
	// Title is the rule's summary, the text of a built-in rule, or its id; Hint is what helps, "" where nothing is known.
	Rule, Title, Hint string
	// Severity is info, warning or critical; Level is that in the language.
	Severity, Level string
	// Host is where it comes from.
	Host string
	At   string
	// Alerts are those that it is about; More is how many others, Firing how many of the rule fire now.
	Alerts       []AlertView
	More, Firing int
}

// AlertView is one alert as text.
type AlertView struct {
	// Labels are as in "route=orders"; "" where there are none. Values are as in "lag_seconds=512".
	Labels, Values string
	Since, Ended   string
	// Lasted is how long it has fired.
	Lasted   string
	Flapping bool
}

// Template makes messages into text.
type Template struct {
	language      Language
	subject, body *template.Template
	// fallback is used where an operator's own template fails; nil in the built-in ones.
	fallback *Template
}

//go:embed templates/*.tmpl
var files embed.FS

// NewTemplate returns the built-in template of the language, with the operator's own subject and body where they are not "". The error
// says what is wrong with those; each is tried on examples of every kind of message.
func NewTemplate(language Language, subject, body string) (*Template, error) {
	builtIn := &Template{language: language}
	var err error
	for name, into := range map[string]**template.Template{"subject": &builtIn.subject, "body": &builtIn.body} {
		text, readErr := files.ReadFile("templates/" + string(language) + "." + name + ".tmpl")
		if readErr != nil {
			return nil, readErr
		}
		if *into, err = parse(name, string(text)); err != nil {
			return nil, err
		}
	}
	if subject == "" && body == "" {
		return builtIn, nil
	}
	own := &Template{language: language, subject: builtIn.subject, body: builtIn.body, fallback: builtIn}
	for _, o := range []struct {
		name, text string
		into       **template.Template
	}{{"subject", subject, &own.subject}, {"body", body, &own.body}} {
		if o.text == "" {
			continue
		}
		if *o.into, err = parse(o.name, o.text); err != nil {
			return nil, err
		}
		for _, m := range examples {
			if _, err := execute(*o.into, view(&m, language, "host", time.UTC)); err != nil {
				return nil, err
			}
		}
	}
	return own, nil
}

func parse(name, text string) (*template.Template, error) {
	return template.New(name).Option("missingkey=error").Parse(text)
}

// examples are messages that a template must be able to show.
var examples = func() []Message {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	since := at.Add(-time.Hour)
	alerts := []Alert{{Labels: map[string]string{"route": "orders"}, Values: map[string]float64{"lag_seconds": 512}, Since: since, Ended: &at}, {Since: since}}
	var list []Message
	for _, what := range []string{Firing, Resolved, Reminder, Test} {
		list = append(list, Message{ID: "x", At: at, What: what, Rule: "lag", Severity: Warning, Alerts: alerts, Firing: 2, More: 1})
	}
	return append(list, Message{ID: "x", At: at, What: Test, Rule: "test", Severity: Info})
}()

// Text makes the message into text, in the time of the place. A template of the operator's that fails gives way to the built-in one: a
// message is told in any case.
func (t *Template) Text(m *Message, host string, place *time.Location) (Text, error) {
	v := view(m, t.language, host, place)
	subject, err := execute(t.subject, v)
	var body string
	if err == nil {
		body, err = execute(t.body, v)
	}
	if err != nil {
		if t.fallback == nil {
			return Text{}, fmt.Errorf("make the text of a message: %w", err)
		}
		return t.fallback.Text(m, host, place)
	}
	subject = strings.Join(strings.Fields(plain(subject)), " ")
	if r := []rune(subject); len(r) > maxSubject {
		subject = string(r[:maxSubject-1]) + "…"
	}
	return Text{subject, cut(strings.TrimSpace(body), maxBody)}, nil
}

var errTooMuch = errors.New("the template makes too much text")

type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxMade {
		return 0, errTooMuch
	}
	return b.Buffer.Write(p)
}

func execute(t *template.Template, v *View) (string, error) {
	var b bounded
	err := t.Execute(&b, v)
	return strings.ToValidUTF8(b.String(), "?"), err
}

// cut shortens text to so many bytes, at a line's or a character's end.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const mark = "\n…"
	end := most - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	if line := strings.LastIndexByte(text[:end], '\n'); line > 0 {
		end = line
	}
	return text[:end] + mark
}

// words are the fixed texts of a language.
var words = map[Language]map[string]string{
	English: {Firing: "FIRING", Resolved: "RESOLVED", Reminder: "STILL FIRING", Test: "TEST", "info": "info", "warning": "warning", "critical": "critical",
		"test title": "This channel works"},
	Chinese: {Firing: "告警", Resolved: "已恢复", Reminder: "告警持续", Test: "测试", "info": "提示", "warning": "警告", "critical": "严重",
		"test title": "该通道工作正常"},
}

func view(m *Message, language Language, host string, place *time.Location) *View {
	say := words[language]
	v := &View{What: m.What, State: say[m.What], Rule: plain(m.Rule), Title: plain(m.Summary), Severity: string(m.Severity), Level: say[string(m.Severity)],
		Host: plain(host), At: instant(m.At, place), More: m.More, Firing: m.Firing}
	if b := builtInOf(m.Rule); b != nil {
		v.Hint = b.hint[language]
		if v.Title == "" {
			v.Title = b.title[language]
		}
	}
	switch {
	case v.Title == "" && m.What == Test:
		v.Title = say["test title"]
	case v.Title == "":
		v.Title = v.Rule
	}
	for i := range m.Alerts {
		a := &m.Alerts[i]
		one := AlertView{Labels: LabelText(a.Labels), Since: instant(a.Since, place), Flapping: a.Flapping}
		end := m.At
		if a.Ended != nil {
			end = *a.Ended
			one.Ended = instant(end, place)
		}
		one.Lasted = max(end.Sub(a.Since), 0).Round(time.Second).String()
		var values []string
		for _, name := range slices.Sorted(maps.Keys(a.Values)) {
			values = append(values, name+"="+number(a.Values[name]))
		}
		one.Values = strings.Join(values, ", ")
		v.Alerts = append(v.Alerts, one)
	}
	return v
}

func instant(t time.Time, place *time.Location) string {
	return t.In(place).Format("2006-01-02 15:04:05 MST")
}

// number writes a value with at most three digits behind the point.
func number(v float64) string {
	text := strconv.FormatFloat(v, 'f', 3, 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}
