package httpclient

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const aPublicAddress = "93.184.215.14"

var errPublic = errors.New("the guard let it pass")

// names is a name server: each name has a list of answers, of which each question gets the next one; the last one stays.
type names struct {
	mu      sync.Mutex
	answers map[string][][]string
}

// resolver asks this server and no other.
func (n *names) resolver(t *testing.T) *net.Resolver {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for buf := make([]byte, 1500); ; {
			size, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(n.answer(buf[:size]), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// answer makes a reply of a question (RFC 1035, section 4) for addresses of either family.
func (n *names) answer(question []byte) []byte {
	var labels []string
	at := 12
	for at < len(question) && question[at] != 0 {
		labels = append(labels, string(question[at+1:at+1+int(question[at])]))
		at += 1 + int(question[at])
	}
	family := question[at+2] // 1 = A, 28 = AAAA
	reply := append(slices.Clone(question[:2]), 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)
	reply = append(reply, question[12:at+5]...)
	name := strings.ToLower(strings.Join(labels, "."))
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.answers[name]
	if len(list) == 0 {
		reply[3] |= 3 // no such name
		return reply
	}
	for _, text := range list[0] {
		ip := netip.MustParseAddr(text)
		if ip.Is4() != (family == 1) {
			continue
		}
		raw := ip.AsSlice()
		reply = append(append(reply, 0xC0, 12, 0, family, 0, 1, 0, 0, 0, 0, 0, byte(len(raw))), raw...)
		reply[7]++
	}
	if len(list) > 1 && reply[7] > 0 {
		n.answers[name] = list[1:]
	}
	return reply
}

// guarded is a client as New makes it, which asks another name server, and stops where the guard has let an address pass.
func guarded(t *testing.T, n *names) *http.Client {
	client := New(Options{Timeout: 10 * time.Second})
	d := Dialer(false)
	d.Resolver = n.resolver(t)
	guard := d.Control
	d.Control = func(network, address string, c syscall.RawConn) error {
		if err := guard(network, address, c); err != nil {
			return err
		}
		return errPublic
	}
	client.Transport.(*http.Transport).DialContext = d.DialContext
	return client
}

// TestWhereAHostLeads: however a host is written and whatever its name resolves to, no connection is made to an address that is not public. The server
// that all of these would reach hears of none.
func TestWhereAHostLeads(t *testing.T) {
	var reached atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port := u.Port()
	n := &names{answers: map[string][][]string{
		"public.example": {{aPublicAddress}}, "inside.example": {{"10.0.0.1"}}, "loopback.example": {{"127.0.0.1"}}, "metadata.example": {{"169.254.169.254"}}, "six.example": {{"::1"}},
		"mapped.example": {{"::ffff:127.0.0.1"}}, "nat64.example": {{"64:ff9b::7f00:1"}}, "local.example": {{"fd00::1"}}, "cgnat.example": {{"100.64.0.1"}}, "zero.example": {{"0.0.0.0"}},
		"2130706433": {{"127.0.0.1"}}, "0x7f000001": {{"127.0.0.1"}}, "0177.0.0.1": {{"127.0.0.1"}}, "0x7f.0.0.1": {{"127.0.0.1"}}, "127.1": {{"127.0.0.1"}}, "0": {{"0.0.0.0"}}, "127.0.0.1.": {{"127.0.0.1"}},
	}}
	client := guarded(t, n)
	for _, host := range []string{
		"127.0.0.1", "localhost", "LOCALHOST", "127.255.255.254", "0.0.0.0", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]",
		"[2002:7f00:1::]", "[fe80::1%25lo]", "[fd00::1]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "192.0.0.192", "224.0.0.1", "255.255.255.255",
		"inside.example", "loopback.example", "metadata.example", "six.example", "mapped.example", "nat64.example", "local.example", "cgnat.example", "zero.example",
		// What comes before an @ is no host, and letters that look like digits are digits.
		"public.example@127.0.0.1", "93.184.215.14:80@127.0.0.1", "127.0.0.1@localhost", "１２７．０．０．１", "127。0。0。1", "ⓛocalhost",
	} {
		address := "http://" + host + ":" + port + "/"
		if _, err := client.Get(address); err == nil || Refusal(err) == nil {
			t.Errorf("GET %s = %v, want address_refused", address, err)
		}
	}
	// As inet_aton reads them, and some resolvers too; Go's takes most of them for no name at all.
	for _, host := range []string{"2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "0x7f.0.0.1", "127.1", "0", "127.0.0.1.", "localhost.", "[::1].", "127.0.0.1%00.example", "127.0.0.1%0d%0a"} {
		if _, err := client.Get("http://" + host + ":" + port + "/"); err == nil || errors.Is(err, errPublic) {
			t.Errorf("GET %s = %v, want that nobody is connected to", host, err)
		}
	}
	for _, host := range []string{aPublicAddress, "public.example", "127.0.0.1@public.example", "127.0.0.1:80@public.example"} {
		if _, err := client.Get("http://" + host + ":" + port + "/"); !errors.Is(err, errPublic) {
			t.Errorf("GET %s = %v, want that the guard lets it pass", host, err)
		}
	}
	// An address without a port, and schemes that are none of HTTP's.
	for _, address := range []string{"http://127.0.0.1/", "https://127.0.0.1/", "https://localhost:" + port + "/"} {
		if _, err := client.Get(address); Refusal(err) == nil {
			t.Errorf("GET %s = %v, want address_refused", address, err)
		}
	}
	for _, address := range []string{"file:///etc/passwd", "gopher://127.0.0.1:" + port + "/", "unix:///run/docker.sock", "//127.0.0.1/", "http:///", "http://[::1/"} {
		if _, err := client.Get(address); err == nil {
			t.Errorf("GET %s = nil, want an error", address)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("the server behind the guard was reached %d times", n)
	}
}

// TestANameThatChangesItsMind: the guard judges the address that is connected to, not an earlier answer of the name server; of several addresses each for
// itself; and a connection that is kept is not a way around it.
func TestANameThatChangesItsMind(t *testing.T) {
	n := &names{answers: map[string][][]string{
		"rebinds.example": {{aPublicAddress}, {"127.0.0.1"}},
		"both.example":    {{aPublicAddress, "127.0.0.1"}},
		"turned.example":  {{"127.0.0.1", aPublicAddress}},
	}}
	client := guarded(t, n)
	if _, err := client.Get("http://rebinds.example/"); !errors.Is(err, errPublic) {
		t.Fatalf("the first answer: %v, want that the guard lets it pass", err)
	}
	for range 3 {
		if _, err := client.Get("http://rebinds.example/"); Refusal(err) == nil {
			t.Errorf("the second answer: %v, want address_refused", err)
		}
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	for _, name := range []string{"both.example", "turned.example"} {
		if res, err := client.Get("http://" + name + ":" + port + "/"); err == nil {
			t.Errorf("%s answered %s: the second address was connected to", name, res.Status)
		}
	}
}

// TestNoProxyGoesAroundTheGuard: a proxy of the environment would connect where the guard does not see.
func TestNoProxyGoesAroundTheGuard(t *testing.T) {
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	client := guarded(t, &names{answers: map[string][][]string{"public.example": {{aPublicAddress}}, "inside.example": {{"10.0.0.1"}}}})
	for _, address := range []string{"http://public.example/", "https://public.example/", "http://inside.example/", "http://169.254.169.254/latest/meta-data/"} {
		if _, err := client.Get(address); err == nil {
			t.Errorf("GET %s was answered", address)
		}
	}
	if asked.Load() > 0 || New(Options{}).Transport.(*http.Transport).Proxy != nil || New(Options{AllowPrivate: true}).Transport.(*http.Transport).Proxy != nil {
		t.Errorf("the proxy was asked %d times", asked.Load())
	}
}

// TestRedirectsAreAnswers, to private addresses above all, also where private addresses are allowed.
func TestRedirectsAreAnswers(t *testing.T) {
	var reached atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inner.Close()
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(map[string]int{"301": 301, "302": 302, "303": 303, "307": 307, "308": 308}[r.URL.Query().Get("status")])
	}))
	defer outer.Close()
	client := New(Options{AllowPrivate: true})
	for _, status := range []string{"301", "302", "303", "307", "308"} {
		for _, to := range []string{inner.URL, "http://169.254.169.254/", "//127.0.0.1/", "file:///etc/passwd", "\\\\127.0.0.1\\x"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, outer.URL+"/?status="+status+"&to="+url.QueryEscape(to), strings.NewReader("secret"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer secret")
			res, err := client.Do(req)
			if err != nil || res.StatusCode < 301 || res.StatusCode > 308 {
				t.Errorf("%s to %s = %v, %v, want the redirect itself", status, to, res, err)
				continue
			}
			_ = res.Body.Close()
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// TestEscapedTextStaysInItsPlace: what a record has cannot become another path, another parameter, or another host.
func TestEscapedTextStaysInItsPlace(t *testing.T) {
	for _, text := range []string{"..", ".", "../../admin", "a/b", "a?b=c", "a#b", "a b", "a&b=c", "%2e%2e", "%2F", "a\x00b", "a\r\nX: y", "@evil.example", ":80", "\\..\\", "..;", "...", "é", "\xff", "", strings.Repeat("x", 5000)} {
		u, err := url.Parse("https://host.example/v1/" + Escape(text) + "/end?k=" + Escape(text) + "&z=1")
		if err != nil {
			t.Errorf("Escape(%.40q) makes no URL: %v", text, err)
			continue
		}
		segments := strings.Split(u.EscapedPath(), "/")
		if len(segments) != 4 || segments[1] != "v1" || segments[3] != "end" || u.Host != "host.example" || u.User != nil || u.Fragment != "" || u.Query().Get("k") != text || u.Query().Get("z") != "1" {
			t.Errorf("Escape(%.40q) leads to %.200s", text, u)
		}
		if meant, err := url.PathUnescape(segments[2]); err != nil || meant != text || strings.Trim(segments[2], ".") == "" && text != "" {
			t.Errorf("Escape(%.40q) = %.80q in the path", text, segments[2])
		}
	}
}
