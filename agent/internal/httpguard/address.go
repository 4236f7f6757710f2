package httpguard

import (
	"fmt"
	"net/netip"
)

// special are networks that netip's own questions do not cover and that are no
// part of the public Internet (RFC 6890 and the IANA registries it set up).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),     // this network
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),  // protocol assignments
	netip.MustParsePrefix("198.18.0.0/15"), // benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),   // reserved, and broadcast
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), // Teredo and other assignments
	netip.MustParsePrefix("fec0::/10"), // site-local, once
}

// Prefixes of IPv6 addresses that hold an IPv4 address to which a gateway
// would pass the packets on, and where in the address it lies.
var embedding = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64, RFC 6052
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4, RFC 3056
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible, RFC 4291, 2.5.5.1
}

// public says whether a is an address of the public Internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	for _, e := range embedding {
		if e.prefix.Contains(a) {
			b := a.As16()
			return public(netip.AddrFrom4([4]byte(b[e.at : e.at+4])))
		}
	}
	return true
}

// checkAddress refuses a dialled "ip:port" that is not public.
func checkAddress(host, address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &RefusedError{Host: host, Reason: fmt.Sprintf("%q is no address", clip(address))}
	}
	if !public(ap.Addr()) {
		return &RefusedError{Host: host, Reason: fmt.Sprintf(
			"%s is a loopback, private or otherwise special address; set server.allow_private: true if images may come from there", ap.Addr())}
	}
	return nil
}
