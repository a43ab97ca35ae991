package state

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"syncline"
	"syncline/internal/access"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func addToken(t *testing.T, s *Store, token access.Token) (access.Token, string) {
	t.Helper()
	secret, id := access.NewSecret()
	_, hash, _ := access.Parse(secret)
	token.ID, token.Created, token.Creator = id, noon, "local"
	must(t, s.AddToken(t.Context(), token, hash))
	return token, secret
}

// TestTokensAreSharedByProcesses: a store that is open sees at once what another one made or revoked.
func TestTokensAreSharedByProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	server, command := openAt(t, path), openAt(t, path)
	if known, live, err := server.HasTokens(t.Context(), noon); known || live || err != nil {
		t.Fatalf("HasTokens of a new store = %v, %v, %v", known, live, err)
	}
	later := noon.Add(time.Hour)
	made, secret := addToken(t, command, access.Token{Name: "till", Role: access.Publisher, Systems: []string{"pos", "web"}, Expires: &later})
	_, want, _ := access.Parse(secret)
	got, hash, err := server.Token(t.Context(), made.ID)
	must(t, err)
	if diff := cmp.Diff(made, got); diff != "" || !hash.Equal(want) {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		at          time.Time
		known, live bool
	}{{noon, true, true}, {later, true, false}} {
		if known, live, err := server.HasTokens(t.Context(), c.at); known != c.known || live != c.live || err != nil {
			t.Errorf("HasTokens at %s = %v, %v, %v", c.at, known, live, err)
		}
	}
	revoked, err := command.RevokeToken(t.Context(), "till", noon)
	must(t, err)
	if got, _, err = server.Token(t.Context(), made.ID); err != nil || got.Live(noon) || revoked.ID != made.ID {
		t.Errorf("Token after it was revoked = %+v, %v", got, err)
	}
	if known, live, err := server.HasTokens(t.Context(), noon); !known || live || err != nil {
		t.Errorf("HasTokens after the last was revoked = %v, %v, %v", known, live, err)
	}
	again, err := command.RevokeToken(t.Context(), made.ID, later)
	if err != nil || !again.Revoked.Equal(noon) {
		t.Errorf("RevokeToken again = %+v, %v, want the first time kept", again, err)
	}
	if _, err := command.RevokeToken(t.Context(), "till", later); !errors.Is(err, ErrNotFound) {
		t.Errorf("RevokeToken of a name that no live token has = %v", err)
	}
	if _, _, err := server.Token(t.Context(), "x"); !errors.Is(err, ErrNotFound) || syncline.CodeOf(err) != "token_not_found" {
		t.Errorf("Token of an unknown id = %v", err)
	}
}

// TestSecretsAreNotStored: neither the file nor its log holds the secret or a part of it that would help.
func TestSecretsAreNotStored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := openAt(t, path)
	_, secret := addToken(t, s, access.Token{Name: "ci", Role: access.Admin})
	for _, name := range []string{path, path + "-wal"} {
		data, err := os.ReadFile(name)
		must(t, err)
		if bytes.Contains(data, []byte(secret[len(secret)-20:])) {
			t.Errorf("%s holds the secret", name)
		}
	}
}

func TestNamesOfTokens(t *testing.T) {
	s := openNew(t)
	add := func(name string, at time.Time, expires *time.Time) error {
		secret, id := access.NewSecret()
		_, hash, _ := access.Parse(secret)
		return s.AddToken(t.Context(), access.Token{ID: id, Name: name, Role: access.Viewer, Created: at, Expires: expires}, hash)
	}
	soon := noon.Add(time.Minute)
	must(t, add("ci", noon, &soon))
	if err := add("ci", noon, nil); syncline.CodeOf(err) != "token_exists" {
		t.Errorf("a second live token of the name = %v, want token_exists", err)
	}
	must(t, add("ci", soon, nil)) // the first has expired
	must(t, add("other", noon, nil))
	var names []string
	after := ""
	for {
		page, next, err := s.Tokens(t.Context(), after, 2)
		must(t, err)
		for _, token := range page {
			names = append(names, token.Name)
		}
		if after = next; next == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"ci", "ci", "other"}, names); diff != "" {
		t.Errorf("Tokens (-want +got):\n%s", diff)
	}
	if _, _, err := s.Tokens(t.Context(), "!", 2); syncline.CodeOf(err) != "cursor_invalid" {
		t.Errorf("Tokens(!) = %v", err)
	}
}
