package config

import (
	"testing"
)

// FuzzPasswords: the places of passwords lie inside their text, and blanking references moves nothing.
func FuzzPasswords(f *testing.F) {
	for _, s := range []string{"postgres://app:secret@db/crm?password=x&sslpassword=y", "host=db password='it\\'s' user=a", "postgres://app:${PASSWORD}@db", "nats://token@h",
		"${URL:-postgres://a:b@c}", "redis://:p@[::1]:6379/0", "$${x}", "${", "password=", "://@", "a://:@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := blank(s)
		if len(text) != len(s) {
			t.Fatalf("blank(%q) = %q, which has another length", s, text)
		}
		for _, scheme := range []string{"postgres", "nats", "redis"} {
			for _, p := range passwords(text, scheme) {
				if p[0] < 0 || p[1] < p[0] || p[1] > len(text) {
					t.Fatalf("passwords(%q, %s) = %v", s, scheme, p)
				}
				if at := literal(text[p[0]:p[1]]); at >= 0 && s[p[0]+at] != text[p[0]+at] {
					t.Fatalf("literal of %q in %q = %d", text[p[0]:p[1]], s, at)
				}
			}
		}
	})
}
