package dialer

import (
	"net/netip"
	"testing"
)

func TestPublic(t *testing.T) {
	for _, a := range []string{
		"127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
		"fe80::1", "fe80::1%eth0", "100.64.0.1", "100.127.255.255", "224.0.0.1", "239.1.1.1", "ff02::1", "fc00::1", "fd12:3456::1", "fec0::1",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::ffff:100.64.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "::7f00:1",
		"2002:7f00:1::", "2001::1", "::ffff:0:7f00:1", "::ffff:0:169.254.169.254", "64:ff9b::127.0.0.1", "5f00::1", "100::1", "4000::1", "3fff::1", "2001:db8::1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255",
	} {
		if public(netip.MustParseAddr(a)) {
			t.Errorf("public(%s) = true, want false", a)
		}
	}
	for _, a := range []string{"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"} {
		if !public(netip.MustParseAddr(a)) {
			t.Errorf("public(%s) = false, want true", a)
		}
	}
}

func TestWhatIsNoAddress(t *testing.T) {
	if err := Public("tcp", "8.8.8.8:443", nil); err != nil {
		t.Errorf("Public(8.8.8.8) = %v", err)
	}
	if err := Public("tcp", "no address", nil); err == nil {
		t.Error("Public of what is no address = nil, want an error")
	}
}
