package ops

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"syncline"
	"syncline/internal/access"
	"syncline/internal/state"
)

// TokenRequest asks for a token.
type TokenRequest struct {
	Role access.Role `json:"role" enum:"viewer,operator,admin,publisher"`
	// Name says who uses it; "" = the role and the token's id.
	Name    string     `json:"name,omitempty" maxLength:"100" doc:"Who uses it, as the audit log shows it. Without it: the role and the token's id."`
	Systems []string   `json:"systems,omitempty" nullable:"false" maxItems:"100" doc:"The sources whose events a publisher may send."`
	Expires *time.Time `json:"expires,omitempty" doc:"When it ends by itself. Without it: never."`
}

// NewToken is a token and its secret, which is shown this once.
type NewToken struct {
	access.Token
	Secret string `json:"secret" doc:"What to send as Authorization: Bearer. It is shown this once."`
}

// CreateToken makes a token for the creator and stores it. Sources are the systems that take events.
func CreateToken(ctx context.Context, store *state.Store, r TokenRequest, sources []string, creator string) (NewToken, error) {
	secret, id := access.NewSecret()
	t := access.Token{ID: id, Name: r.Name, Role: r.Role, Systems: r.Systems, Created: time.Now().UTC().Truncate(time.Microsecond), Creator: creator, Expires: r.Expires}
	if t.Name == "" {
		t.Name = string(r.Role) + "-" + id
	}
	if err := t.Check(t.Created); err != nil {
		return NewToken{}, err
	}
	for _, name := range r.Systems {
		if !slices.Contains(sources, name) {
			return NewToken{}, syncline.Errorf(syncline.Rejected, "unknown_source", "%q is not a system that takes events", name).
				WithFix("name systems of type http")
		}
	}
	_, hash, ok := access.Parse(secret)
	if !ok {
		panic("a new secret is none") // both are of one file
	}
	return NewToken{t, secret}, store.AddToken(ctx, t, hash)
}

func (a *api) registerTokens(h huma.API) {
	add(h, op(h, "tokens", "GET", "/v1/tokens", "The tokens, without their secrets; also those that have ended"), a.tokens)
	create := op(h, "create-token", "POST", "/v1/tokens", "Make a token; its secret is in this answer only")
	create.DefaultStatus = http.StatusCreated
	add(h, create, a.createToken)
	add(h, op(h, "revoke-token", "POST", "/v1/tokens/{id}/revoke", "End a token, by its id or its name"), a.revokeToken)
}

func (a *api) tokens(ctx context.Context, in *page) (*reply[List[access.Token]], error) {
	found, next, err := a.store.Tokens(ctx, in.After, in.Limit)
	return answer(ctx, a, List[access.Token]{Items: some(found), Next: next}, err)
}

func (a *api) createToken(ctx context.Context, in *reply[TokenRequest]) (*reply[NewToken], error) {
	status, err := a.engine.Status(ctx)
	if err != nil {
		return answer(ctx, a, NewToken{}, err)
	}
	var sources []string
	for i := range status.Systems {
		if s := &status.Systems[i]; s.Log != nil && s.Type == "http" {
			sources = append(sources, s.Name)
		}
	}
	t, err := CreateToken(ctx, a.store, in.Body, sources, CallerName(ctx))
	return answer(ctx, a, t, err)
}

func (a *api) revokeToken(ctx context.Context, in *taskID) (*reply[access.Token], error) {
	t, err := a.store.RevokeToken(ctx, in.ID, time.Now())
	return answer(ctx, a, t, err)
}
