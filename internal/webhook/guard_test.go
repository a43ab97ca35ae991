package webhook

import (
	"net/netip"
	"testing"

	"syncline"
)

func TestPublic(t *testing.T) {
	for _, a := range []string{
		"127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
		"fe80::1", "fe80::1%eth0", "100.64.0.1", "100.127.255.255", "224.0.0.1", "239.1.1.1", "ff02::1", "fc00::1", "fd12:3456::1", "fec0::1",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::ffff:100.64.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "::7f00:1",
		"2002:7f00:1::", "2001::1", "2001:db8::1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255",
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

// TestPrivateAddressesAreRefusedAfterResolution: what counts is where the connection would go, not how the host is written.
func TestPrivateAddressesAreRefusedAfterResolution(t *testing.T) {
	for _, url := range []string{
		"https://127.0.0.1:9/hook", "https://localhost:9/hook", "https://[::1]:9/", "https://[::ffff:169.254.169.254]/", "https://0.0.0.0:9/", "https://[::]:9/",
		"https://100.64.0.1/", "https://[fd00::1]/", "https://[64:ff9b::a9fe:a9fe]/",
	} {
		target, err := Open(t.Context(), Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		_, err = target.Apply(t.Context(), write(1))
		if syncline.CodeOf(err) != "address_refused" || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("Apply to %s = %v, want address_refused", url, err)
		}
		found := target.Check(t.Context())
		if len(found) == 0 || found[0].Level != "fail" || found[0].Code != "address_refused" {
			t.Errorf("Check of %s = %+v, want address_refused", url, found)
		}
	}
	if err := control("tcp", "8.8.8.8:443", nil); err != nil {
		t.Errorf("control(8.8.8.8) = %v", err)
	}
	if err := control("tcp", "no address", nil); err == nil {
		t.Error("control of what is no address = nil, want an error")
	}
}
