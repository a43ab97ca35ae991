package access

import (
	"strings"
	"testing"
	"time"

	"syncline"
)

// TestRoles walks every pair of roles.
func TestRoles(t *testing.T) {
	may := map[Role]string{Viewer: "viewer operator admin", Operator: "operator admin", Admin: "admin", Publisher: "publisher admin", "": "admin", "nobody": "admin"}
	for least, who := range may {
		for _, r := range append(Roles, "", "nobody") {
			if got, want := r.May(least), r != "" && strings.Contains(" "+who+" ", " "+string(r)+" "); got != want {
				t.Errorf("%q.May(%q) = %v, want %v", r, least, got, want)
			}
		}
	}
}

func TestSecrets(t *testing.T) {
	secret, id := NewSecret()
	other, otherID := NewSecret()
	if secret == other || id == otherID {
		t.Fatalf("NewSecret = %s twice", id)
	}
	got, hash, ok := Parse(secret)
	if !ok || got != id {
		t.Fatalf("Parse = %q, %v, want %q", got, ok, id)
	}
	if _, same, _ := Parse(secret); !same.Equal(hash) {
		t.Error("one secret has two hashes")
	}
	if _, another, _ := Parse(other); another.Equal(hash) {
		t.Error("two secrets have one hash")
	}
	for _, wrong := range []string{"", "syn_", secret[1:], secret[:len(secret)-1], secret + "a", strings.ToUpper(secret), " " + secret,
		strings.Replace(secret, id, strings.Repeat("1", idLength), 1), strings.Replace(secret, id+"_", id+"a", 1)} {
		if _, _, ok := Parse(wrong); ok {
			t.Errorf("Parse(%q) takes it", wrong)
		}
	}
}

func TestTokens(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	before, after := now.Add(-time.Second), now.Add(time.Second)
	for _, test := range []struct {
		name  string
		token Token
		valid bool
		live  bool
	}{
		{"for ever", Token{Name: "ci", Role: Viewer}, true, true},
		{"until later", Token{Name: "ci", Role: Viewer, Expires: &after}, true, true},
		{"until now", Token{Name: "ci", Role: Viewer, Expires: &now}, false, false},
		{"expired", Token{Name: "ci", Role: Admin, Expires: &before}, false, false},
		{"revoked", Token{Name: "ci", Role: Admin, Expires: &after, Revoked: &before}, true, false},
		{"publisher", Token{Name: "till", Role: Publisher, Systems: []string{"pos"}}, true, true},
		{"publisher of nothing", Token{Name: "till", Role: Publisher}, false, true},
		{"viewer of a system", Token{Name: "ci", Role: Viewer, Systems: []string{"pos"}}, false, true},
		{"no role", Token{Name: "ci"}, false, true},
		{"no name", Token{Role: Viewer}, false, true},
		{"a name of two lines", Token{Name: "a\nb", Role: Viewer}, false, true},
		{"a long name", Token{Name: strings.Repeat("n", maxName+1), Role: Viewer}, false, true},
	} {
		err := test.token.Check(now)
		if (err == nil) != test.valid || err != nil && (syncline.CodeOf(err) != "token_invalid" || syncline.FixOf(err) == "") {
			t.Errorf("%s: Check = %v, want valid: %v", test.name, err, test.valid)
		}
		if test.token.Live(now) != test.live {
			t.Errorf("%s: Live = %v", test.name, !test.live)
		}
	}
	for _, test := range []struct {
		token Token
		want  bool
	}{
		{Token{Role: Publisher, Systems: []string{"pos", "web"}}, true}, {Token{Role: Publisher, Systems: []string{"web"}}, false},
		{Token{Role: Admin}, true}, {Token{Role: Operator}, false}, {Token{Role: Viewer}, false}, {Token{}, false},
	} {
		if got := test.token.Publishes("pos"); got != test.want {
			t.Errorf("%+v publishes: %v, want %v", test.token, got, test.want)
		}
	}
}
