// Package origin tells from which address a request comes, also through proxies.
//
// A proxy writes the address that it was asked from at the end of
// X-Forwarded-For (RFC 7239 calls it the same as "for"). Whoever asks may have
// written anything before that. So the header counts only where the connection
// comes from a proxy that is named, and is read from its end: the address that
// the last named proxy wrote down is the one that is not one of theirs. Nothing
// that stands before it is looked at.
package origin

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks whose X-Forwarded-For is believed; nil: nobody's.
type Proxies []netip.Prefix

// maxHops is how many proxies there are at the most.
const maxHops = 16

// Parse reads addresses (10.0.0.7) and networks (10.0.0.0/24). A network of
// everybody is refused: its members could say that they are anyone.
func Parse(texts []string) (Proxies, error) {
	var all Proxies
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if a, aerr := netip.ParseAddr(text); aerr == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(plain(a), plain(a).BitLen()), nil
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is no address and no network: want one such as 10.0.0.7 or 10.0.0.0/24", text)
		case p.Bits() == 0:
			return nil, fmt.Errorf("%q is everybody, and everybody could say to be anyone: name the proxies", text)
		case p.Addr().Is4In6():
			return nil, fmt.Errorf("%q is an IPv4 network written as IPv6: write it as IPv4", text)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// Of is the address that a request comes from; the zero one where it cannot be
// told.
func (p Proxies) Of(r *http.Request) netip.Addr {
	hop, ok := address(r.RemoteAddr)
	said := r.Header.Values("X-Forwarded-For")
	for range maxHops {
		if !ok || !p.trusted(hop) || len(said) == 0 {
			return hop
		}
		last := &said[len(said)-1]
		cut := strings.LastIndexByte(*last, ',')
		before, known := address(strings.TrimSpace((*last)[cut+1:]))
		if !known { // the proxy does not know, or it is none that writes addresses
			return hop
		}
		hop = before
		if cut < 0 {
			said = said[:len(said)-1]
			continue
		}
		said = slices.Clone(said) // it is the request's
		said[len(said)-1] = said[len(said)-1][:cut]
	}
	return hop
}

func (p Proxies) trusted(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// address reads one with or without a port.
func address(text string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return plain(ap.Addr()), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return plain(a), err == nil
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Network is how who comes from an address is counted: by it, or by the IPv6
// network of whose addresses a computer takes as many as it likes; "" for the
// zero one.
func Network(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
