package ops

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"syncline"
	"syncline/internal/access"
	"syncline/internal/state"
)

// LocalTokens are the tokens of a state store on this machine, for who may open its file: no server has to run, and one that does knows at
// once. What is done to them is in the audit log like what the server does.
type LocalTokens struct {
	Store *state.Store
	// Sources are the systems that take events.
	Sources []string
	// Who does it, and why.
	Who, Reason string
}

// Tokens returns all tokens, without their secrets.
func (l *LocalTokens) Tokens(ctx context.Context) ([]access.Token, error) {
	all := []access.Token{}
	for after := ""; ; {
		page, next, err := l.Store.Tokens(ctx, after, maxPage)
		all = append(all, page...)
		if after = next; err != nil || next == "" {
			return all, err
		}
	}
}

// CreateToken makes a token. Its secret is in this answer only.
func (l *LocalTokens) CreateToken(ctx context.Context, r TokenRequest) (NewToken, error) {
	details := map[string]string{"role": string(r.Role), "name": r.Name, "systems": strings.Join(r.Systems, ", ")}
	var made NewToken
	err := l.record(ctx, "create-token", details, http.StatusCreated, func() (err error) {
		made, err = CreateToken(ctx, l.Store, r, l.Sources, l.Who)
		return err
	})
	return made, err
}

// RevokeToken ends a token, by its id or its name.
func (l *LocalTokens) RevokeToken(ctx context.Context, which string) (access.Token, error) {
	var ended access.Token
	err := l.record(ctx, "revoke-token", map[string]string{"id": which}, http.StatusOK, func() (err error) {
		ended, err = l.Store.RevokeToken(ctx, which, time.Now())
		return err
	})
	return ended, err
}

func (l *LocalTokens) record(ctx context.Context, operation string, details map[string]string, done int, do func() error) error {
	for name, value := range details {
		if value = brief(value); value == "" {
			delete(details, name)
		} else {
			details[name] = value
		}
	}
	return NoteCall(ctx, l.Store, state.Call{Who: l.Who, Operation: operation, Details: details, Reason: brief(l.Reason)}, done, do)
}

// NoteCall writes down what is done without a request, as the audit log has those: that it begins, and what came of it, which is the status
// done where there is no error. What cannot be written down is not done.
func NoteCall(ctx context.Context, store *state.Store, c state.Call, done int, do func() error) error {
	c.ID, c.At = strings.ToLower(rand.Text()), time.Now()
	if err := store.AddCall(ctx, &c); err != nil {
		return err
	}
	err, code := do(), ""
	if err != nil {
		done, code = http.StatusUnprocessableEntity, syncline.CodeOf(err)
	}
	if ended := store.EndCall(context.WithoutCancel(ctx), c.ID, done, code, time.Now()); err == nil {
		err = ended
	}
	return err
}
