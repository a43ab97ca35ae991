package ops

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"syncline"
	"syncline/internal/state"
)

// Binding is where and how the API listens.
type Binding struct {
	// Address has a host and a port.
	Address string
	// Cert and Key are the files of a certificate with its chain and of its key (PEM); "" for no TLS.
	Cert, Key string
	// Logger is nil for none.
	Logger *slog.Logger
}

// Listen opens the address of the API. One that other machines can reach is refused with insecure_listen while the store has no live token.
func Listen(ctx context.Context, b Binding, store *state.Store) (net.Listener, error) {
	host, _, err := net.SplitHostPort(b.Address)
	if err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "listen_invalid", "http.listen is not an address with a port: %w", err).
			WithFix("use 127.0.0.1:8484")
	}
	if !loopback(host) {
		if err := mayShare(ctx, store, b.Address); err != nil {
			return nil, err
		}
	}
	var files *certificate
	if b.Cert != "" {
		if files, err = openCertificate(b); err != nil {
			return nil, err
		}
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", b.Address)
	if err != nil {
		return nil, syncline.Errorf(syncline.Fatal, "listen_failed", "listen on %s: %w", b.Address, err).
			WithFix("end what listens there, or set http.listen to a free port")
	}
	l = newBounded(l, maxConnections, maxFromOne)
	if files == nil {
		return l, nil
	}
	return &encrypted{tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: files.current})}, nil
}

// CheckBinding tells what would keep Listen from serving so, but for the address being taken. live is whether the store has a live token.
func CheckBinding(b Binding, live bool) []syncline.Finding {
	host, _, err := net.SplitHostPort(b.Address)
	shared := err == nil && !loopback(host)
	var found []syncline.Finding
	if shared && !live {
		found = append(found, syncline.Failure(insecure(b.Address), ""))
	}
	if b.Cert != "" {
		if _, err := openCertificate(b); err != nil {
			found = append(found, syncline.Failure(err, ""))
		}
	}
	if len(found) == 0 && (shared || b.Cert != "") {
		found = append(found, syncline.Finding{Level: "ok", What: "the API can be served on " + b.Address})
	}
	return found
}

// encrypted marks a listener with TLS.
type encrypted struct{ net.Listener }

// Encrypted reports whether Listen has made this listener with TLS.
func Encrypted(l net.Listener) bool {
	_, ok := l.(*encrypted)
	return ok
}

// mayShare refuses an address that other machines can reach while nobody could tell friend from foe there.
func mayShare(ctx context.Context, store *state.Store, address string) error {
	_, live, err := store.HasTokens(ctx, time.Now())
	if err == nil && !live {
		err = insecure(address)
	}
	return err
}

func insecure(address string) error {
	return syncline.Errorf(syncline.Fatal, "insecure_listen", "%s can be reached from other machines, and there is no token", address).
		WithFix("syncline token create --role admin, with the same -c; or listen on 127.0.0.1, [::1] or localhost")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// lookEvery is how often at most the files of a certificate are looked at.
const lookEvery = time.Second

// certificate is read again when its files have changed. Files that cannot be used leave it as it is: they may be in the middle of being
// replaced.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	// stamp tells whether the files have changed since they were last read, looked when they were last looked at.
	stamp  [2]stamp
	looked time.Time
}

type stamp struct {
	size    int64
	changed time.Time
}

func openCertificate(b Binding) (*certificate, error) {
	c := &certificate{cert: b.Cert, key: b.Key, log: b.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.loadLocked(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificate) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if was := c.stamp; c.stampLocked() != was {
			if err := c.loadLocked(); err != nil {
				c.log.Warn("certificate not replaced", "err", err)
			} else {
				c.log.Info("certificate replaced", "cert", c.cert)
			}
		}
	}
	return c.loaded, nil
}

func (c *certificate) loadLocked() error {
	c.stamp = c.stampLocked() // before they are read: what changes meanwhile is read again
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err == nil {
		c.loaded = &pair
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "certificate_invalid", "http.tls cannot be used: %w", err).
		WithFix("give cert the certificate with its chain and key its key, as PEM files that this user can read")
}

func (c *certificate) stampLocked() (s [2]stamp) {
	for i, name := range []string{c.cert, c.key} {
		if info, err := os.Stat(name); err == nil { // one that is away for a moment has changed when it is back
			s[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return s
}
