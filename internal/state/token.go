package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"

	"syncline"
	"syncline/internal/access"
)

// AddToken takes a new token in, with the hash of its secret. A name that another live token has is refused with token_exists, so
// that a name in the audit log stands for one user at a time.
func (s *Store) AddToken(ctx context.Context, t access.Token, hash access.Hash) error {
	systems, err := json.Marshal(t.Systems)
	if err != nil {
		return err
	}
	return s.write(ctx, "add token "+t.ID, func(ctx context.Context, w *writer) error {
		taken := false
		err := w.each(ctx, func(rows *sql.Rows) error {
			other, _, _, err := scanToken(rows)
			taken = taken || other.ID != t.ID && other.Live(t.Created)
			return err
		}, sqlTokensNamed, t.Name)
		if err != nil {
			return err
		}
		if taken {
			return syncline.Errorf(syncline.Rejected, "token_exists", "there is a token with the name %s", t.Name).
				WithFix("revoke that one, or choose another name")
		}
		_, err = w.exec(ctx, sqlAddToken, t.ID, t.Name, t.Role, string(systems), hash[:], micros(t.Created), t.Creator, micros(timeOf(t.Expires)), 0)
		return err
	})
}

// Token returns the token of this id with the hash of its secret; ErrNotFound is in the chain where there is none.
func (s *Store) Token(ctx context.Context, id string) (access.Token, access.Hash, error) {
	var t access.Token
	var hash access.Hash
	found := false
	err := s.read(ctx, "read token", func(rows *sql.Rows) (err error) {
		t, hash, _, err = scanToken(rows)
		found = true
		return err
	}, sqlToken, id)
	if err == nil && !found {
		err = notFound("token_not_found", "token", id)
	}
	return t, hash, err
}

// Tokens returns a page of the tokens, also of the revoked ones, the oldest first, and the cursor of the next page, "" after the last.
func (s *Store) Tokens(ctx context.Context, after string, limit int) (list []access.Token, next string, err error) {
	from, err := cursorOf(after)
	if err != nil {
		return nil, "", err
	}
	limit = pageOf(limit)
	var last int64
	more := false
	err = s.read(ctx, "list tokens", func(rows *sql.Rows) error {
		if more = len(list) == limit; more {
			return nil
		}
		t, _, n, err := scanToken(rows)
		list, last = append(list, t), n
		return err
	}, sqlTokens, from, limit+1)
	if err == nil && more {
		next = strconv.FormatInt(last, 36)
	}
	return list, next, err
}

// HasTokens reports whether a token was ever made; and whether one is live at this time.
func (s *Store) HasTokens(ctx context.Context, now time.Time) (known, live bool, err error) {
	err = s.read(ctx, "look for tokens", func(rows *sql.Rows) error { return rows.Scan(&known, &live) }, sqlHasTokens, micros(now))
	return known, live, err
}

// LiveToken reports whether the state store at the path has a token that is live at this time. It makes and changes nothing: a store that
// is not there, or an older one, has none.
func LiveToken(ctx context.Context, path string, now time.Time) (live bool, err error) {
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	name := dsn(path, "query_only(1)") + "&mode=ro"
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		name += "&immutable=1" // nobody has it open, and reading it is not to make a write-ahead log
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return false, err
	}
	defer db.Close() //nolint:errcheck // it was only read
	var known, there bool
	err = db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'token')").Scan(&there)
	if err == nil && there {
		err = db.QueryRowContext(ctx, sqlHasTokens, micros(now)).Scan(&known, &live)
	}
	return live, err
}

// RevokeToken ends the token of this id, or the live one of this name, and returns it. One that has ended is left as it is.
func (s *Store) RevokeToken(ctx context.Context, which string, now time.Time) (access.Token, error) {
	var found *access.Token
	err := s.write(ctx, "revoke token", func(ctx context.Context, w *writer) error {
		found = nil
		err := w.each(ctx, func(rows *sql.Rows) error {
			t, _, _, err := scanToken(rows)
			if t.ID == which || found == nil && t.Live(now) {
				found = &t
			}
			return err
		}, sqlTokensCalled, which, which)
		if err != nil {
			return err
		}
		if found == nil {
			return notFound("token_not_found", "token", which)
		}
		if found.Revoked == nil {
			found.Revoked = &now
			_, err = w.exec(ctx, sqlRevokeToken, micros(now), found.ID)
		}
		return err
	})
	if err != nil {
		return access.Token{}, err
	}
	return *found, nil
}

func scanToken(rows *sql.Rows) (t access.Token, hash access.Hash, n int64, err error) {
	var systems, stored []byte
	var created, expires, revoked int64
	if err := rows.Scan(&n, &t.ID, &t.Name, &t.Role, &systems, &stored, &created, &t.Creator, &expires, &revoked); err != nil {
		return t, hash, n, err
	}
	if err := json.Unmarshal(systems, &t.Systems); err != nil {
		return t, hash, n, corrupt(err)
	}
	copy(hash[:], stored)
	t.Created, t.Expires, t.Revoked = fromMicros(created), setTime(expires), setTime(revoked)
	return t, hash, n, nil
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// setTime returns nil for an instant that was never set.
func setTime(us int64) *time.Time {
	if us == 0 {
		return nil
	}
	t := fromMicros(us)
	return &t
}
