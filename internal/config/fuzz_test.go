package config

import (
	"strings"
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
				pieces, offset := literals(text[p[0]:p[1]])
				for i, piece := range pieces {
					if !strings.Contains(s, piece) || i == 0 && !strings.HasPrefix(s[p[0]+offset:], piece) {
						t.Fatalf("literals of %q in %q = %q at %d", text[p[0]:p[1]], s, pieces, offset)
					}
				}
			}
		}
	})
}
