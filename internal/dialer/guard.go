package dialer

import (
	"net/netip"
	"syscall"

	"syncline"
)

// refused are the ranges beside those that netip knows by name: none of them is a public host (IANA special-purpose
// address registries), and those that carry an IPv4 address inside would be a way around the others.
var refused = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

// allocated is what public hosts have of IPv6. Outside of it are the forms that carry an IPv4 address (::a.b.c.d, ::ffff:0:a.b.c.d, 64:ff9b::/96), and
// whatever somebody will yet invent.
var allocated = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// public reports whether the address is one that a request may go to without the operator's word. An IPv4 address inside an
// IPv6 one is judged as what it is.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() { // global unicast: neither loopback, link-local, multicast, broadcast nor unspecified
		return false
	}
	if a.Is6() && !allocated.Contains(a) {
		return false
	}
	for _, p := range refused {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// Public is a net.Dialer's Control that refuses addresses which are not public. It runs between the resolution of a name and the connection, for every address that is tried: neither a name that
// resolves to a private address nor one that changes its mind (DNS rebinding) gets past it.
func Public(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err == nil && public(a.Addr()) {
		return nil
	}
	return syncline.Errorf(syncline.Fatal, "address_refused", "the endpoint's host is at %s, which is not a public address", address).
		WithFix("set allow_private if the endpoint may be in the local network")
}
