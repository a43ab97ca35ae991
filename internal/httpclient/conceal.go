package httpclient

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// minSecret is the length from which a part of a URL is taken for a secret. What is shorter is a word such as api or v1, and taking it out would
// spoil what is said.
const minSecret = 6

// Conceal takes out of an answer what a service repeats of the secrets that it was sent: a page for what is not found shows the path, which for
// Slack is the secret.
func Conceal(answer string, secrets []string) string {
	longestFirst := slices.SortedFunc(slices.Values(secrets), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, s := range longestFirst { // one may be part of another, of which the rest would stay
		if len(s) >= minSecret {
			answer = strings.ReplaceAll(answer, s, "…")
		}
	}
	return answer
}

// Secrets are the parts of a URL that a service may repeat, as they are written and as they are meant.
func Secrets(u *url.URL) []string {
	list := append(strings.Split(u.EscapedPath(), "/"), strings.Split(u.Path, "/")...)
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		list = append(list, value)
		if meant, err := url.QueryUnescape(value); err == nil {
			list = append(list, meant)
		}
	}
	if password, ok := u.User.Password(); ok {
		list = append(list, LoginSecrets(u.User.Username(), password)...)
	}
	return list
}

// LoginSecrets are the forms in which a login is sent, by HTTP's Basic and by SMTP's PLAIN.
func LoginSecrets(user, password string) []string {
	if password == "" {
		return nil
	}
	return []string{password, url.QueryEscape(password), base64.StdEncoding.EncodeToString([]byte(user + ":" + password)),
		base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password)), base64.StdEncoding.EncodeToString([]byte(password))}
}
