package ops

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"syncline"
	"syncline/internal/access"
	"syncline/internal/statetest"
)

func TestListenRefusesWhatOthersCanReach(t *testing.T) {
	store := statetest.Open(t)
	s, err := New(Options{Engine: &fake{}, Store: store})
	must(t, err)
	refused := func(when string) {
		t.Helper()
		for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
			l, err := Listen(t.Context(), Binding{Address: address}, store)
			if err == nil {
				_ = l.Close()
			}
			if syncline.CodeOf(err) != "insecure_listen" || syncline.ClassOf(err) != syncline.Fatal || syncline.FixOf(err) == "" {
				t.Errorf("Listen(%s) %s = %v, want insecure_listen", address, when, err)
			}
		}
		open, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "0.0.0.0:0")
		must(t, err)
		if err := s.Serve(t.Context(), open); syncline.CodeOf(err) != "insecure_listen" {
			t.Errorf("Serve on every address %s = %v, want insecure_listen", when, err)
		}
	}
	refused("without tokens")
	ended := time.Now().Add(-time.Hour)
	tokenOf(t, store, access.Token{Role: access.Admin, Expires: &ended})
	refused("with an expired token")
	tokenOf(t, store, access.Token{Role: access.Admin})
	l, err := Listen(t.Context(), Binding{Address: "0.0.0.0:0"}, store)
	must(t, err)
	must(t, l.Close())

	if _, err := Listen(t.Context(), Binding{Address: "127.0.0.1"}, store); syncline.CodeOf(err) != "listen_invalid" {
		t.Errorf("Listen without a port = %v", err)
	}
	l, err = Listen(t.Context(), Binding{Address: "127.0.0.1:0"}, store)
	must(t, err)
	defer l.Close() //nolint:errcheck // the end of a test
	if _, err := Listen(t.Context(), Binding{Address: l.Addr().String()}, store); syncline.CodeOf(err) != "listen_failed" {
		t.Errorf("Listen on a port that is taken = %v", err)
	}
}

// writePair writes a certificate of this name that is its own authority, and its key.
func writePair(t *testing.T, cert, key, name string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(t, err)
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	der, err = x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	store := statetest.Open(t)
	b := Binding{Address: "127.0.0.1:0", Cert: cert, Key: key}
	if _, err := Listen(t.Context(), b, store); syncline.CodeOf(err) != "certificate_invalid" {
		t.Errorf("Listen without the files = %v, want certificate_invalid", err)
	}
	writePair(t, cert, key, "first")
	l, err := Listen(t.Context(), b, store)
	must(t, err)
	s, err := New(Options{Engine: &fake{}, Store: store})
	must(t, err)
	served := make(chan error, 1) // one send
	ctx, stop := contextOf(t)
	go func() { served <- s.Serve(ctx, l) }()
	base := "https://" + l.Addr().String()

	plain, err := NewClient(base)
	must(t, err)
	_, err = plain.Status(t.Context())
	if p := problemIn(t, err, 0, "unreachable", 4); !strings.Contains(p.Fix, "--ca") {
		t.Errorf("a certificate of an unknown authority: fix %q, want one that names --ca", p.Fix)
	}
	c, err := Connect(ClientOptions{Server: base, CA: cert})
	must(t, err)
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("Status over TLS = %v", err)
	}
	if _, err := Connect(ClientOptions{Server: base, CA: key}); err == nil {
		t.Error("a file without certificates is taken for --ca")
	}
	old := &tls.Config{MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}
	if conn, err := tls.Dial("tcp", l.Addr().String(), old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is taken")
	}
	stop()
	must(t, <-served)
}

// TestCertificateIsReplaced: new files are served without a restart, broken ones are not.
func TestCertificateIsReplaced(t *testing.T) {
	dir := t.TempDir()
	b := Binding{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	writePair(t, b.Cert, b.Key, "first")
	c, err := openCertificate(b)
	must(t, err)
	name := func() string {
		c.looked = time.Time{} // as if the last look was long ago
		pair, err := c.current(nil)
		must(t, err)
		return pair.Leaf.Subject.CommonName
	}
	if got := name(); got != "first" {
		t.Errorf("certificate = %s, want first", got)
	}
	touch := func(at time.Time) { must(t, os.Chtimes(b.Cert, at, at)) }
	must(t, os.WriteFile(b.Cert, []byte("half of a certificate"), 0o600))
	touch(time.Now().Add(time.Second))
	if got := name(); got != "first" {
		t.Errorf("certificate with a broken file = %s, want first", got)
	}
	writePair(t, b.Cert, b.Key, "second")
	touch(time.Now().Add(2 * time.Second))
	if got := name(); got != "second" {
		t.Errorf("certificate = %s, want second", got)
	}
}
