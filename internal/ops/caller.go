package ops

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"syncline/internal/access"
	"syncline/internal/problem"
	"syncline/internal/state"
)

// caller is who sent a request.
type caller struct {
	// token is the zero one for who has none.
	token access.Token
	// address is the host that the request came from: the last proxy's, where there is one.
	address string
}

// local is who calls while there is no token, on this machine.
var local = access.Token{Name: "local", Role: access.Admin}

type callerKey struct{}

// callerOf returns who sent the request of this context; nobody outside of one.
func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// CallerName is the name of who sent the request of this context: that of its token, or "local" while there are no tokens.
func CallerName(ctx context.Context) string {
	who := callerOf(ctx)
	return cmp.Or(who.token.Name, local.Name)
}

// local reports whether the caller is let in because there are no tokens.
func (c *caller) local() bool { return c.token.ID == "" && c.token.Role == local.Role }

// key stands for the caller where callers are counted.
func (c *caller) key() string {
	if c.token.ID != "" {
		return c.token.ID
	}
	return callersKey(c.address)
}

// callersKey stands for an address where callers are counted: whoever has one of IPv6 has the 64 bits behind its network.
func callersKey(address string) string {
	if a, err := netip.ParseAddr(address); err == nil && a.Is6() {
		network, _ := a.Prefix(64)
		return network.String()
	}
	return address
}

func addressOf(r *http.Request) string { return hostOf(r.RemoteAddr) }

// hostOf is the host of a peer's address and port.
func hostOf(peer string) string {
	at, err := netip.ParseAddrPort(peer)
	if err != nil {
		return peer
	}
	return at.Addr().Unmap().WithZone("").String()
}

// authenticate finds out who sent the request. The problem says why its token does not count; without a token there is none, and the
// caller has no role, or on a server without tokens all of them.
func (g *guard) authenticate(r *http.Request) (caller, error) {
	who := caller{address: addressOf(r)}
	header := r.Header.Get("Authorization")
	if header == "" {
		open, err := g.open(r.Context())
		if open {
			who.token = local
		}
		return who, err
	}
	scheme, secret, _ := strings.Cut(header, " ")
	id, hash, ok := access.Parse(strings.TrimSpace(secret))
	if !strings.EqualFold(scheme, "Bearer") || !ok {
		return who, unauthorized("token_unknown", "the Authorization header has no token", "send Authorization: Bearer syn_…, for commands SYNCLINE_TOKEN=syn_…; "+newToken)
	}
	token, stored, err := g.store.Token(r.Context(), id)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return who, err
	}
	if !stored.Equal(hash) || err != nil {
		return who, unauthorized("token_unknown", "the token is not one of this server", newToken)
	}
	switch {
	case token.Revoked != nil:
		return who, unauthorized("token_revoked", "the token was revoked", newToken)
	case !token.Live(time.Now()):
		return who, unauthorized("token_expired", "the token has expired", newToken)
	}
	who.token = token
	return who, nil
}

const newToken = "make one with syncline token create"

func unauthorized(code, detail, fix string) *Problem {
	return problem.New(http.StatusUnauthorized, code, detail, fix)
}

// open reports whether requests need no token: on a server that only this machine can reach, until its first token was made. Tokens that
// ended still count, so that nothing opens by itself.
func (g *guard) open(ctx context.Context) (bool, error) {
	if g.known.Load() {
		return false, nil
	}
	known, _, err := g.store.HasTokens(ctx, time.Now())
	if known {
		g.known.Store(true)
	}
	return !known && err == nil && !g.shared.Load(), err
}

// stays reports whether who sent the request of this context would still be let in. A request that takes long asks now and then.
func (g *guard) stays(ctx context.Context) (bool, error) {
	who := callerOf(ctx)
	if who.local() {
		return g.open(ctx)
	}
	token, _, err := g.store.Token(ctx, who.token.ID)
	return err == nil && token.Live(time.Now()), err
}
