package dialer

import (
	"net"
	"strings"
	"testing"
)

// FuzzPublic: nothing that the standard library calls private, local or unspecified is called public, in whichever way it is written.
func FuzzPublic(f *testing.F) {
	for _, s := range []string{"1.1.1.1:443", "127.0.0.1:80", "[::ffff:10.0.0.1]:80", "[fe80::1%eth0]:80", "[64:ff9b::7f00:1]:80", "0.0.0.0:1", "[2002:7f00:1::]:1", "localhost:80", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if Public("tcp", address, nil) != nil {
			return
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatalf("%q is public, and no address", address)
		}
		host, _, _ = strings.Cut(host, "%") // a zone
		ip := net.ParseIP(host)
		if ip == nil || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalMulticast() {
			t.Fatalf("%q is called public", address)
		}
	})
}
