package config

import (
	"errors"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"syncline/internal/alert"
	"syncline/internal/expression"
)

// defaultRepeat is how often is told that a rule still fires.
const defaultRepeat = 4 * time.Hour

// alertSource is a rule of alerts and where what others must agree with stands.
type alertSource struct {
	*alert.Spec
	at   value
	send []value
	// chosen: the rule says itself to whom it is sent.
	chosen bool
	// usual: it is a built-in rule with the built-in condition.
	usual bool
}

func (l *loader) channelsSection(v value) {
	l.entries(v, "channels", func(key, val value) {
		c := &Channel{Name: key.node.Value, Timeout: 15 * time.Second, Language: alert.English}
		if !systemName.MatchString(c.Name) {
			l.report(key, BadName, "letters, digits, _ and -, beginning with a letter", "%s cannot be the name of a channel", said(c.Name))
		}
		if l.cfg.Channel(c.Name) != nil {
			l.report(key, DuplicateID, "", "a channel %s is already declared", c.Name)
			return
		}
		l.cfg.Channels = append(l.cfg.Channels, c)
		l.channel(c, val)
	})
}

// channel reads one channel. Which keys it has depends on its type.
func (l *loader) channel(c *Channel, v value) {
	known := fields{
		"type":          func(value) {},
		"timeout":       func(v value) { l.duration(v, &c.Timeout, 100*time.Millisecond) },
		"allow_private": func(v value) { l.boolean(v, &c.AllowPrivate) },
		"language":      func(v value) { choose(&l.decoder, v, &c.Language, nil, alert.English, alert.Chinese) },
		"subject":       func(v value) { l.messageTemplate(v, &c.Subject, true) },
		"body":          func(v value) { l.messageTemplate(v, &c.Body, false) },
	}
	var need []string
	address := func(dst *Secret, v value) {
		l.secret(v, dst)
		if u := dst.Reveal(); u != "" && !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://") {
			l.report(v, BadURL, "https://…", "%s is not a URL of https", v.path)
		}
	}
	switch c.Type = l.channelType(v); c.Type {
	case ChannelWebhook:
		known["url"] = func(v value) { l.url(v, &c.URL, "https", "http") }
		known["secret"] = func(v value) { l.secret(v, &c.Secret) }
		need = []string{"url", "secret"}
	case ChannelSlack:
		known["url"] = func(v value) { address(&c.URL, v) }
		need = []string{"url"}
	case ChannelDingTalk:
		known["url"] = func(v value) { address(&c.URL, v) }
		known["secret"] = func(v value) { l.secret(v, &c.Secret) }
		known["keyword"] = func(v value) { c.Keyword, _ = l.text(v) }
		need = []string{"url"}
	case ChannelEmail:
		l.email(c, known)
		need = []string{"server", "from", "to"}
	default:
		l.references(v)
		return
	}
	seen := l.object(v, "a channel of type "+string(c.Type), known, nil)
	l.need(v, seen, "channel "+c.Name, need...)
	_, secret := seen["secret"]
	_, keyword := seen["keyword"]
	if c.Type == ChannelDingTalk && !secret && !keyword {
		l.report(v, MissingField, "secret: ${NAME} where the robot signs, keyword where it asks for one", "channel %s has neither secret nor keyword", c.Name)
	}
	if at, ok := seen["url"]; ok && !c.AllowPrivate && strings.HasPrefix(c.URL.Reveal(), "http:") {
		l.report(at, BadURL, "https://…, or allow_private: true for an endpoint in the local network", "%s has no TLS", at.path)
	}
	if c.Email != nil {
		l.checkLogin(c.Email, v, seen)
	}
}

func (l *loader) channelType(v value) ChannelType {
	if v.node.Tag == "!!null" || !l.isMapping(v) {
		l.report(v, WrongType, "", "%s must be a mapping, not %s", v.path, typeName(v.node))
		return ""
	}
	v.openKeys()
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value != "type" {
			continue
		}
		at := v.child(v.node.Content[i+1], v.field("type"))
		text, ok := l.text(at)
		if ok && !slices.Contains(channelTypes, ChannelType(text)) {
			l.report(at, UnknownType, suggestName(text, namesOf(channelTypes)), "there is no type of channels %s", at.shown())
		}
		if slices.Contains(channelTypes, ChannelType(text)) {
			return ChannelType(text)
		}
		return ""
	}
	l.report(v, MissingField, oneOf(namesOf(channelTypes)), "%s has no type", v.path)
	return ""
}

func (l *loader) email(c *Channel, known fields) {
	m := &Email{TLS: SecuritySTARTTLS}
	c.Email = m
	known["server"] = func(v value) {
		var ok bool
		if m.Server, ok = l.text(v); !ok {
			return
		}
		host, port, err := net.SplitHostPort(m.Server)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || host == "" || strings.ContainsAny(host, "/@ ") {
			l.report(v, BadValue, "smtp.example.com:587", "%s must be a host and a port", v.path)
		}
		if port == "465" && m.TLS == SecuritySTARTTLS {
			m.TLS = SecurityTLS
		}
	}
	known["tls"] = func(v value) { choose(&l.decoder, v, &m.TLS, nil, SecuritySTARTTLS, SecurityTLS, SecurityNone) }
	known["user"] = func(v value) { m.User, _ = l.text(v) }
	known["password"] = func(v value) { l.secret(v, &m.Password) }
	known["from"] = func(v value) { l.mailbox(v, &m.From) }
	known["to"] = func(v value) {
		l.list(v, "to", true, func(v value) {
			var one string
			if l.mailbox(v, &one); one != "" {
				m.To = append(m.To, one)
			}
		})
		l.some(v, "name at least one address")
	}
}

// mailbox reads an address that cannot break out of a header: it is written anew from its parts.
func (l *loader) mailbox(v value, dst *string) {
	text, ok := l.text(v)
	if !ok {
		return
	}
	a, err := mail.ParseAddress(text)
	if err != nil || strings.ContainsAny(a.Address, "\r\n\x00 ") {
		l.report(v, BadValue, `ops@example.com, or "Operations <ops@example.com>"`, "%s is not a mail address", v.path)
		return
	}
	*dst = a.String()
}

// checkLogin wants a user with each password, and TLS for both.
func (l *loader) checkLogin(m *Email, v value, seen map[string]value) {
	user, hasUser := seen["user"]
	password, hasPassword := seen["password"]
	switch {
	case hasUser && !hasPassword:
		l.report(user, MissingField, "password: ${NAME}", "%s has no password", v.path)
	case hasPassword && !hasUser:
		l.report(password, MissingField, "add user", "%s has a password and no user", v.path)
	case hasPassword && m.TLS == SecurityNone:
		l.report(password, BadValue, "tls: starttls", "%s would be sent without TLS", password.path)
	}
}

// messageTemplate reads a template and tries it.
func (l *loader) messageTemplate(v value, dst *string, subject bool) {
	text, ok := l.text(v)
	if !ok {
		return
	}
	var err error
	if subject {
		_, err = alert.NewTemplate(alert.English, text, "")
	} else {
		_, err = alert.NewTemplate(alert.English, "", text)
	}
	if err != nil {
		l.report(v, BadTemplate, "docs/operations.md lists what a message has", "%s: %v", v.path, err)
		return
	}
	*dst = text
}

func (l *loader) alertsSection(v value) {
	if v.node.Tag == "!!null" {
		return
	}
	l.list(v, "alerts", false, l.alertRule)
}

func (l *loader) alertRule(v value) {
	if !l.isMapping(v) {
		l.report(v, WrongType, "", "%s must be a mapping, not %s", v.path, typeName(v.node))
		return
	}
	a := &alertSource{at: v, Spec: &alert.Spec{Severity: alert.Warning, Repeat: defaultRepeat, Enabled: true}}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value == "id" {
			a.Name = v.node.Content[i+1].Value
		}
	}
	builtIn := false
	for _, b := range l.builtIn() {
		if b.Name == a.Name {
			*a.Spec, builtIn = b, true
			a.Repeat = defaultRepeat
		}
	}
	seen := l.object(v, "an alert", fields{
		"id":       func(v value) { l.name(v, &a.Name, ruleName, "letters, digits, ., _ and -") },
		"when":     func(v value) { a.When = l.alertCondition(v) },
		"for":      func(v value) { l.duration(v, &a.For, 0) },
		"severity": func(v value) { choose(&l.decoder, v, &a.Severity, nil, alert.Info, alert.Warning, alert.Critical) },
		"repeat":   func(v value) { l.duration(v, &a.Repeat, 0) },
		"send": func(v value) {
			a.chosen = true
			l.list(v, "send", true, func(v value) { a.send = append(a.send, v) })
		},
		"summary": func(v value) { a.Summary, _ = l.text(v) },
		"enabled": func(v value) { l.boolean(v, &a.Enabled) },
	}, nil)
	if l.need(v, seen, "an alert", "id"); !builtIn {
		l.need(v, seen, "alert "+a.Name, "when")
	}
	_, given := seen["when"]
	a.usual = builtIn && !given
	for _, other := range l.alerts {
		if other.Name == a.Name && a.Name != "" {
			l.report(seen["id"], DuplicateID, "", "an alert %s is already declared in %s", a.Name, other.at.doc.name)
			return
		}
	}
	l.alerts = append(l.alerts, a)
}

// builtIn are the rules that need not be written, with the thresholds of the health section as far as it has been read.
func (l *loader) builtIn() []alert.Spec {
	return alert.BuiltIn(l.cfg.Health.Thresholds.Late.After, l.cfg.Health.Thresholds.DiskFree)
}

// alertCondition checks that the text compiles and returns it. As in other expressions, references are not resolved.
func (l *loader) alertCondition(v value) string {
	if !l.enter(&v) {
		return ""
	}
	v.doc.open(v.node)
	text := v.node.Value
	if typeName(v.node) != "text" {
		l.report(v, WrongType, "lag_seconds > 300", "%s must be an expression, not %s", v.path, typeName(v.node))
		return ""
	}
	_, err := alert.Compile(alert.Spec{When: text})
	if err == nil {
		return text
	}
	line, column := v.node.Line, v.node.Column
	message, fix := err.Error(), ""
	var at *expression.Error
	if errors.As(err, &at) {
		line, column = v.at(at.Line, at.Column)
		message, fix = at.Message, at.Suggestion
		switch {
		case at.Unknown != "":
			message = "there is no signal and no label " + strconv.Quote(at.Unknown)
			fix = suggestName(at.Unknown, alert.Names())
		case fix == "":
			fix = meant(text, at, "lag_seconds", "lag_seconds")
		}
	}
	l.reportAt(v, line, column, BadExpression, fix, "%s", message)
	return ""
}

// finishAlerts adds the built-in rules, where there is anybody to tell, and sends every rule that says nothing else to all channels.
func (l *loader) finishAlerts() {
	var all []string
	for _, c := range l.cfg.Channels {
		all = append(all, c.Name)
	}
	for _, b := range l.builtIn() {
		switch i := slices.IndexFunc(l.alerts, func(a *alertSource) bool { return a.Name == b.Name }); {
		case i >= 0 && l.alerts[i].usual:
			l.alerts[i].When = b.When
		case i < 0 && len(all) > 0:
			b.Send, b.Repeat = all, defaultRepeat
			l.cfg.Alerts = append(l.cfg.Alerts, &b)
		}
	}
	for _, a := range l.alerts {
		if !a.chosen {
			a.Send = all
		}
		for _, v := range a.send {
			name, ok := l.text(v)
			switch {
			case !ok:
			case !slices.Contains(all, name):
				l.report(v, UnknownChannel, suggestName(name, all), "there is no channel %q", name)
			case slices.Contains(a.Send, name):
				l.report(v, DuplicateID, "", "%s is listed twice", v.shown())
			default:
				a.Send = append(a.Send, name)
			}
		}
		l.cfg.Alerts = append(l.cfg.Alerts, a.Spec)
	}
}
