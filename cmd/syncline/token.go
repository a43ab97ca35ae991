package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"syncline/internal/access"
	"syncline/internal/config"
	"syncline/internal/ops"
	"syncline/internal/state"
)

func tokenCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke the tokens that the API asks for",
		Long: "Makes, lists and revokes tokens in the state store of the configuration, whether a server runs or not; a running one knows at\n" +
			"once. With --server or $SYNCLINE_SERVER the server there does it, and wants a token of role admin.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(tokenCreateCommand(g), tokenListCommand(g), tokenRevokeCommand(g))
	return cmd
}

// tokens is what keeps the tokens: a server, or the state store itself.
type tokens interface {
	Tokens(context.Context) ([]access.Token, error)
	CreateToken(context.Context, ops.TokenRequest) (ops.NewToken, error)
	RevokeToken(ctx context.Context, which string) (access.Token, error)
}

// onTokens calls do with what keeps the tokens.
func (g *globals) onTokens(ctx context.Context, do func(tokens) error) error {
	if g.remote() != "" {
		client, err := g.client()
		if err != nil {
			return err
		}
		return do(client)
	}
	c, err := g.load()
	if err != nil {
		return err
	}
	store, err := state.Open(ctx, state.Options{Path: c.State.Path})
	if err != nil {
		return err
	}
	return errors.Join(do(&ops.LocalTokens{Store: store, Sources: pushSources(c), Who: localUser(), Reason: g.reason}), store.Close())
}

// pushSources are the systems that take events.
func pushSources(c *config.Config) (names []string) {
	for _, s := range c.Systems {
		if s.Capture != nil && s.Capture.Mode == config.ModePush {
			names = append(names, s.Name)
		}
	}
	return names
}

// localUser names who works on the state store itself.
func localUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return "local:" + u.Username
	}
	return "local:" + strconv.Itoa(os.Getuid())
}

func tokenCreateCommand(g *globals) *cobra.Command {
	var r ops.TokenRequest
	var role, expires string
	cmd := &cobra.Command{
		Use:   "create --role ROLE",
		Short: "Make a token; its secret is printed this once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.Role = access.Role(role); !r.Role.Known() {
				return usage(fmt.Errorf("give --role: viewer, operator, admin or publisher, not %q", role))
			}
			var err error
			if r.Expires, err = expiry(expires, time.Now()); err != nil {
				return usage(err)
			}
			return g.onTokens(cmd.Context(), func(t tokens) error {
				before, err := t.Tokens(cmd.Context())
				if err != nil {
					return err
				}
				made, err := t.CreateToken(cmd.Context(), r)
				if err != nil {
					return err
				}
				if len(before) == 0 {
					fmt.Fprintln(cmd.ErrOrStderr(), "This is the first token: from now on every request and command needs one (SYNCLINE_TOKEN).") //nolint:errcheck // talk
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s (%s): the secret is shown this once and kept nowhere\n", made.Name, made.ID) //nolint:errcheck // talk
				return g.print(cmd, made, func(w *tabwriter.Writer) { row(w, "%s", made.Secret) })
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "viewer, operator, admin or publisher (required)")
	cmd.Flags().StringSliceVar(&r.Systems, "system", nil, "the source whose events a publisher may send; may be repeated")
	cmd.Flags().StringVar(&r.Name, "name", "", "who uses it, as the audit log shows it")
	cmd.Flags().StringVar(&expires, "expires", "", "when it ends: in a while (12h, 90d), or at a time (2027-01-31T00:00:00Z); without it never")
	return cmd
}

// expiry reads a time to come: so long from now, or an instant.
func expiry(text string, now time.Time) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return &at, nil
	}
	d, err := span(text)
	if err != nil {
		return nil, fmt.Errorf("--expires %q is none of 12h, 90d, 2027-01-31T00:00:00Z", text)
	}
	at := now.Add(d)
	return &at, nil
}

func tokenListCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tokens, also those that have ended",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.onTokens(cmd.Context(), func(t tokens) error {
				list, err := t.Tokens(cmd.Context())
				if err != nil {
					return err
				}
				now := time.Now()
				return g.print(cmd, list, func(w *tabwriter.Writer) {
					row(w, "TOKEN\tNAME\tROLE\tSYSTEMS\tCREATED\tBY\tENDS")
					for i := range list {
						t := &list[i]
						row(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s", t.ID, t.Name, t.Role, strings.Join(t.Systems, ","), instant(t.Created), t.Creator, ends(t, now))
					}
				})
			})
		},
	}
}

func ends(t *access.Token, now time.Time) string {
	switch {
	case t.Revoked != nil:
		return "revoked " + instant(*t.Revoked)
	case t.Expires == nil:
		return "never"
	case !t.Live(now):
		return "expired " + instant(*t.Expires)
	}
	return instant(*t.Expires)
}

func tokenRevokeCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke {ID | NAME}",
		Short: "End a token at once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.onTokens(cmd.Context(), func(t tokens) error {
				ended, err := t.RevokeToken(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s (%s) is revoked\n", ended.Name, ended.ID) //nolint:errcheck // talk
				return g.done(cmd, ended)
			})
		},
	}
}
