package httpguard

import (
	"fmt"
	"net/url"
	"strings"
)

const httpsPort = "443"

// Bound of a URL and of a host name in it, in bytes (RFC 1035, 2.3.4).
const (
	maxURL  = 2048
	maxHost = 253
)

// hosts decides which hosts may be asked.
type hosts struct {
	server  string   // host:port of the update server; "": none
	allowed []string // further ones: "host:port" or "*.domain:port"; none: any
}

// newHosts reads the allow-list: "host", "host:port", "*.domain" and
// "*.domain:port". Without a port it is 443.
func newHosts(server *url.URL, allow []string) (hosts, error) {
	var h hosts
	if server != nil {
		if err := wellFormed(server); err != nil {
			return hosts{}, fmt.Errorf("the update server's address: %w", err)
		}
		h.server = hostPort(server)
	}
	for _, entry := range allow {
		u, err := url.Parse("https://" + strings.TrimPrefix(entry, "*."))
		if err != nil || u.Host == "" || u.Path != "" || wellFormed(u) != nil {
			return hosts{}, fmt.Errorf(`%q in the list of allowed hosts is none: want "host", "host:port" or "*.domain"`, entry)
		}
		hp := hostPort(u)
		if strings.HasPrefix(entry, "*.") {
			hp = "*." + hp
		}
		h.allowed = append(h.allowed, hp)
	}
	return h, nil
}

// named says whether a URL that somebody named may be asked; nil is yes. An
// empty list allows any host.
func (h hosts) named(u *url.URL) error {
	if err := wellFormed(u); err != nil {
		return err
	}
	if len(h.allowed) == 0 || h.listed(u) {
		return nil
	}
	return &RefusedError{Host: hostPort(u), Reason: fmt.Sprintf(
		"the host is not allowed; add %q to server.allow_hosts if it should be", strings.TrimSuffix(hostPort(u), ":"+httpsPort))}
}

// redirect says whether a server at from may send the agent on to u. Here an
// empty list allows no other host: the server chose it, not the operator.
func (h hosts) redirect(from, u *url.URL) error {
	if err := wellFormed(u); err != nil {
		return err
	}
	if hostPort(from) == hostPort(u) || h.listed(u) {
		return nil
	}
	return &RefusedError{Host: hostPort(u), Reason: fmt.Sprintf(
		"%s redirected to this other host; add %q to server.allow_hosts if it belongs to the update server (a CDN)",
		hostPort(from), strings.TrimSuffix(hostPort(u), ":"+httpsPort))}
}

// listed: the update server, or on the list.
func (h hosts) listed(u *url.URL) bool {
	hp := hostPort(u)
	if hp == h.server {
		return true
	}
	for _, a := range h.allowed {
		domain, wild := strings.CutPrefix(a, "*")
		if hp == a || wild && strings.HasSuffix(hp, domain) && len(hp) > len(domain) {
			return true
		}
	}
	return false
}

// wellFormed refuses URLs that are never fetched, whatever the lists say.
func wellFormed(u *url.URL) error {
	refuse := func(why string) error { return &RefusedError{Host: hostPort(u), Reason: why} }
	host := u.Hostname()
	switch {
	case u.Scheme != "https":
		return refuse(fmt.Sprintf("the URL begins with %q; only https:// is fetched", clip(u.Scheme)+":"))
	case u.User != nil:
		return refuse("the URL holds a user name or password")
	case host == "" || len(host) > maxHost:
		return refuse("the URL names no host")
	case strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-_:") != "":
		return refuse("the host's name holds characters other than letters, digits, '.', '-' and '_'; write international names as xn--…")
	case len(u.String()) > maxURL:
		return refuse(fmt.Sprintf("the URL is longer than %d bytes", maxURL))
	}
	return nil
}

// hostPort is the host in the one form in which hosts are compared: lower
// case, no trailing dot, port always there. IPv6 addresses stand in brackets.
func hostPort(u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	port := u.Port()
	if port == "" {
		port = httpsPort
	}
	return host + ":" + port
}

// clip shortens what comes from outside and is repeated in a message.
func clip(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
