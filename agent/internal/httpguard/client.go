package httpguard

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/internal/bounded"
)

// Config says whom the agent may ask, and how it proves itself.
type Config struct {
	// Server is the update server's address, https; nil: there is none.
	Server *url.URL
	// AllowHosts are further hosts: "host", "host:port" or "*.domain", port
	// 443 where none is given. Empty: any host, but redirects stay on theirs.
	AllowHosts []string
	// AllowPrivate lets other hosts than the update server have loopback,
	// private and link-local addresses.
	AllowPrivate bool
	// CAFile holds the authorities (PEM) that vouch for the update server,
	// instead of the system's, and for other hosts beside them. "": none.
	CAFile string
	// TokenFile holds a token for the update server, mode 0600. "": none.
	TokenFile string
	// TokenScheme is how the token is announced (RFC 9110, 11.4); "": Bearer.
	TokenScheme string
	// CertFile and KeyFile (PEM) are the robot's certificate towards the
	// update server. "": none.
	CertFile, KeyFile string
	// UserAgent is sent with every request.
	UserAgent string
}

const (
	maxRedirects = 5
	dialTimeout  = 15 * time.Second
	tlsTimeout   = 15 * time.Second
	// headTimeout is how long a server may take to begin its answer.
	headTimeout   = 30 * time.Second
	idleTimeout   = 60 * time.Second
	maxHead       = 64 << 10 // bytes of an answer's header
	maxCAFile     = 1 << 20
	maxTokenFile  = 4 << 10
	keepAliveIdle = 30 * time.Second
)

// Client asks the hosts that may be asked.
type Client struct {
	hosts  hosts
	token  string // with its scheme; "": none
	agent  string
	server *http.Transport // to the update server
	others *http.Transport
}

// New reads the files that cfg names. Its errors name the file and what is
// wrong with it.
func New(cfg Config) (*Client, error) {
	h, err := newHosts(cfg.Server, cfg.AllowHosts)
	if err != nil {
		return nil, err
	}
	token, err := readToken(cfg.TokenFile)
	if err != nil {
		return nil, err
	}
	own, system, err := authorities(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	toServer := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: own}
	if cfg.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("the robot's certificate: %w", err)
		}
		toServer.Certificates = []tls.Certificate{pair}
	}
	toOthers := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: system}
	return &Client{
		hosts: h, token: credentials(cfg.TokenScheme, token), agent: cfg.UserAgent,
		server: transport(toServer, true), others: transport(toOthers, cfg.AllowPrivate),
	}, nil
}

// transport makes the connections of one kind of host.
func transport(t *tls.Config, private bool) *http.Transport {
	var only http.Protocols
	only.SetHTTP1(true)
	return &http.Transport{
		DialContext:            dialer(private),
		TLSClientConfig:        t,
		Protocols:              &only,
		DisableCompression:     true,
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headTimeout,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    1,
		MaxResponseHeaderBytes: maxHead,
	}
}

// dialer looks at each address before it is dialled.
func dialer(private bool) func(ctx context.Context, network, host string) (net.Conn, error) {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		d := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAliveIdle}
		if !private {
			d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
				return checkAddress(host, address)
			}
		}
		return d.DialContext(ctx, network, host)
	}
}

// Allow says whether the agent would ask for u, as a URL that somebody named.
// It gives nil or a *RefusedError, and resolves no names.
func (c *Client) Allow(u *url.URL) error { return c.hosts.named(u) }

// Do sends a request and follows at most 5 redirects. Its errors are
// *RefusedError, *CertificateError, *UnreachableError, or the cause of the end
// of the request's context. The caller closes the answer's body.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	if err := c.hosts.named(req.URL); err != nil {
		return nil, err
	}
	client := http.Client{Transport: c, CheckRedirect: c.redirect}
	resp, err := client.Do(req)
	if err != nil {
		return nil, explain(req.Context(), hostPort(req.URL), err, time.Now())
	}
	return resp, nil
}

func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return &RefusedError{Host: hostPort(req.URL), Reason: fmt.Sprintf("it redirected more than %d times", maxRedirects)}
	}
	req.Header.Del("Referer")
	return c.hosts.redirect(via[len(via)-1].URL, req.URL)
}

// RoundTrip sends one hop of a request, with the update server's token only to
// the update server.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := wellFormed(req.URL); err != nil {
		return nil, err
	}
	hop := req.Clone(req.Context())
	hop.Header.Del("Authorization")
	if c.agent != "" {
		hop.Header.Set("User-Agent", c.agent)
	}
	if hostPort(req.URL) != c.hosts.server {
		return c.others.RoundTrip(hop)
	}
	if c.token != "" {
		hop.Header.Set("Authorization", c.token)
	}
	return c.server.RoundTrip(hop)
}

// CloseIdleConnections ends the connections that nobody uses.
func (c *Client) CloseIdleConnections() {
	c.server.CloseIdleConnections()
	c.others.CloseIdleConnections()
}

// authorities gives those that vouch for the update server and those that
// vouch for others; nil is the system's.
func authorities(file string) (own, others *x509.CertPool, err error) {
	if file == "" {
		return nil, nil, nil
	}
	pem, err := bounded.File(file, maxCAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("server.ca_file: %w", err)
	}
	own = x509.NewCertPool()
	if !own.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("server.ca_file: %s holds no certificate; want PEM, beginning with -----BEGIN CERTIFICATE-----", file)
	}
	if others, err = x509.SystemCertPool(); err != nil {
		others = x509.NewCertPool() // a computer without any: the operator's alone
	}
	others.AppendCertsFromPEM(pem)
	return own, others, nil
}

// credentials is the Authorization header's value.
func credentials(scheme, token string) string {
	if token == "" {
		return ""
	}
	return cmp.Or(scheme, "Bearer") + " " + token
}

// readToken reads a token (RFC 6750, 2.1) from a file that nobody else may
// read.
func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("server.token_file: others may read %s: chmod 0600 %s", file, file)
	}
	b, err := bounded.File(file, maxTokenFile)
	if err != nil {
		return "", fmt.Errorf("server.token_file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("server.token_file: %s holds no token: want one line of printable characters without spaces", file)
	}
	return token, nil
}
