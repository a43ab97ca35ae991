package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"syncline"
)

const (
	// prefix begins every secret, so that scanners for leaked secrets know ours.
	prefix = "syn_"
	// idLength and secretLength count characters of five bits each: 60 and 260 bits.
	idLength     = 12
	secretLength = 52
)

// Token is what is known of a token. Its secret is shown once, when it is made, and kept nowhere.
type Token struct {
	ID   string `json:"id"`
	Name string `json:"name" doc:"Who uses it, as the audit log shows it."`
	Role Role   `json:"role" enum:"viewer,operator,admin,publisher"`
	// Systems are the sources whose events a publisher may send.
	Systems []string  `json:"systems,omitempty" doc:"The sources whose events a publisher may send."`
	Created time.Time `json:"created"`
	// Creator is the name of the token that made it, or "local".
	Creator string `json:"creator"`
	// Expires and Revoked are nil while they have no meaning.
	Expires *time.Time `json:"expires,omitempty"`
	Revoked *time.Time `json:"revoked,omitempty"`
}

// Hash is what is stored of a secret. One round of SHA-256 is enough: a slow hash keeps guessable passwords from being tried out, and 260
// random bits cannot be tried out however fast the hash is. A slow one would let anybody keep the server busy with wrong tokens.
type Hash [sha256.Size]byte

// Equal takes the same time wherever the two differ.
func (h Hash) Equal(other Hash) bool { return subtle.ConstantTimeCompare(h[:], other[:]) == 1 }

// NewSecret makes the secret of a token with a new id.
func NewSecret() (secret, id string) {
	random := strings.ToLower(rand.Text() + rand.Text() + rand.Text())
	id = random[:idLength]
	return prefix + id + "_" + random[idLength:idLength+secretLength], id
}

// Parse returns the id that the secret names and the hash that it must have; false for what cannot be a secret of ours.
func Parse(secret string) (id string, hash Hash, ok bool) {
	rest, ok := strings.CutPrefix(secret, prefix)
	if !ok || len(rest) != idLength+1+secretLength || rest[idLength] != '_' || strings.ContainsFunc(rest, foreign) {
		return "", Hash{}, false
	}
	return rest[:idLength], sha256.Sum256([]byte(secret)), true
}

// foreign reports whether the character cannot be in a secret behind its prefix.
func foreign(c rune) bool { return c != '_' && (c < 'a' || c > 'z') && (c < '2' || c > '7') }

// Live reports whether the token opens anything at this time.
func (t *Token) Live(now time.Time) bool {
	return t.Revoked == nil && (t.Expires == nil || now.Before(*t.Expires))
}

// Publishes reports whether the token may send events of the system.
func (t *Token) Publishes(system string) bool {
	return t.Role == Admin || t.Role == Publisher && slices.Contains(t.Systems, system)
}

const maxName = 100

// Check refuses a token that contradicts itself.
func (t *Token) Check(now time.Time) error {
	switch {
	case !t.Role.Known():
		return syncline.Errorf(syncline.Rejected, "token_invalid", "there is no role %q", t.Role).
			WithFix("viewer, operator, admin or publisher")
	case t.Name == "" || len(t.Name) > maxName || strings.ContainsFunc(t.Name, unprintable):
		return syncline.Errorf(syncline.Rejected, "token_invalid", "a token's name has 1 to %d printable characters", maxName).
			WithFix("name who uses it: ci, grafana, till-7")
	case t.Role == Publisher && len(t.Systems) == 0:
		return syncline.Errorf(syncline.Rejected, "token_invalid", "a publisher needs the systems whose events it may send").
			WithFix("name at least one of type http")
	case t.Role != Publisher && len(t.Systems) > 0:
		return syncline.Errorf(syncline.Rejected, "token_invalid", "only a publisher is bound to systems").
			WithFix("leave the systems out, or make the role publisher")
	case t.Expires != nil && !t.Expires.After(now):
		return syncline.Errorf(syncline.Rejected, "token_invalid", "the token would have expired already").
			WithFix("give a time to come")
	}
	return nil
}

func unprintable(c rune) bool { return c < ' ' || c == 0x7F }
