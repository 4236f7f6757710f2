package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/config"
	"github.com/robot-platform/robot-ota/agent/internal/doctor"
	"github.com/robot-platform/robot-ota/agent/internal/hawkbit"
	"github.com/robot-platform/robot-ota/agent/internal/httpguard"
	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/agent/internal/updateserver"
	"github.com/robot-platform/robot-ota/firmware/compat"
)

// Answer is how one question to the update server went.
type Answer struct {
	Asked   string    // what was asked: "/v1/check" or "/v1/manifest"
	Offer   string    // in words
	Expires time.Time // of the first certificate in its chain to do so; zero: none seen
	// Ahead is how far this computer's clock is ahead of the server's, to a
	// second or so; Dated: the server said what its clock says.
	Ahead time.Duration
	Dated bool
	Err   error
}

// AskServer returns a function that asks the update server once, however often
// it is called, with the agent's own guards and certificates. running is what
// runs on the chip; zero, where that is not known, asks for the manifest
// instead: the server must not hear a version that the robot does not have.
func AskServer(cfg config.Config, running compat.Version, agent string) func(context.Context) Answer {
	var once sync.Once
	var a Answer
	return func(ctx context.Context) Answer {
		once.Do(func() { a = askServer(ctx, cfg, running, agent) })
		return a
	}
}

func askServer(ctx context.Context, cfg config.Config, running compat.Version, agent string) Answer {
	a := Answer{Asked: "/v1/check"}
	u, err := url.Parse(cfg.Server.URL)
	if err != nil {
		return Answer{Err: err}
	}
	guard, err := httpguard.New(httpguard.Config{
		Server: u, AllowHosts: cfg.Server.AllowHosts, AllowPrivate: cfg.Server.AllowPrivate, CAFile: cfg.Server.CAFile,
		TokenFile: cfg.Server.TokenFile, TokenScheme: cfg.TokenScheme(), CertFile: cfg.Server.CertFile, KeyFile: cfg.Server.KeyFile, UserAgent: agent,
	})
	if err != nil {
		return Answer{Err: err}
	}
	defer guard.CloseIdleConnections()
	ear := &overhear{Client: guard, answer: &a}
	if cfg.Server.Source == config.SourceHawkbit {
		a.Asked = "as a hawkBit server"
		a.Offer, a.Err = hawkbit.Ask(ctx, u, cfg.Server.Hawkbit.Tenant, cfg.HawkbitController(), ear)
		return a
	}
	if running.IsZero() {
		a.Asked = "/v1/manifest"
		a.Offer, a.Err = manifest(ctx, ear, u)
		return a
	}
	offer, newer, err := updateserver.New(updateserver.Config{URL: u, RobotID: cfg.Robot.ID, SKU: cfg.Robot.SKU, MaxSize: int64(cfg.Download.MaxSize)}, ear).Check(ctx, running)
	a.Err, a.Offer = err, fmt.Sprintf("nothing newer than %s", running)
	if newer {
		a.Offer = fmt.Sprintf("%s instead of %s", offer.Version, running)
	}
	return a
}

// overhear notes what an answer tells beside its body.
type overhear struct {
	*httpguard.Client
	answer *Answer
}

func (o *overhear) Do(req *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := o.Client.Do(req)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The server wrote it, cut to a second, somewhen between.
		o.answer.Dated, o.answer.Ahead = true, sent.Add(now.Sub(sent)/2).Sub(date.Add(time.Second/2))
	}
	o.answer.Expires = expiry(resp.TLS)
	return resp, nil
}

func expiry(s *tls.ConnectionState) (first time.Time) {
	if s == nil {
		return first
	}
	for _, c := range s.PeerCertificates {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// manifest asks for what the server has, without saying who asks.
func manifest(ctx context.Context, h updateserver.HTTP, u *url.URL) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("v1", "manifest").String(), nil)
	if err != nil {
		return "", err
	}
	resp, err := h.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return "", httpguard.Status(resp, time.Now())
	}
	const enough = 1 << 20
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, enough))
	return "a manifest; which version runs is not known, so it was not asked for a newer one", err
}

// soon is when a certificate's end is worth a warning.
const soon = 21 * 24 * time.Hour

// Server tells how asking the update server went. last is the agent's own
// latest question, zero: none.
func Server(cfg config.Config, ask func(context.Context) Answer, last update.Check) doctor.Check {
	return doctor.Check{Name: "server", About: "the update server", Within: 20 * time.Second, Run: func(ctx context.Context) []doctor.Finding {
		a := ask(ctx)
		if a.Err != nil {
			findings := []doctor.Finding{serverFault(cfg, a.Err)}
			if !last.At.IsZero() && last.Err == "" {
				findings = append(findings, doctor.Good("the agent itself was answered at %s", last.At.Local().Format(time.DateTime)))
			}
			return findings
		}
		findings := []doctor.Finding{doctor.Good("%s answers %s: %s", cfg.Server.URL, a.Asked, a.Offer)}
		if !a.Expires.IsZero() {
			findings = append(findings, certificate("server", a.Expires, time.Now()))
		}
		if last.Err != "" {
			findings = append(findings, doctor.Doubt("ask again: ota-agent check", "the agent's own latest question, at %s, failed: %s", last.At.Local().Format(time.DateTime), last.Err))
		}
		return findings
	}}
}

// certificate tells when one expires.
func certificate(whose string, expires, now time.Time) doctor.Finding {
	left := expires.Sub(now)
	day := expires.Local().Format(time.DateOnly)
	if left < soon {
		return doctor.Doubt("have it renewed before that: robots trust no other", "the %s's certificate expires on %s, in %d days", whose, day, int(left.Hours()/24))
	}
	return doctor.Good("the %s's certificate is valid until %s", whose, day)
}

// serverFault sorts the ways in which a server can fail to answer.
func serverFault(cfg config.Config, err error) doctor.Finding {
	u, perr := url.Parse(cfg.Server.URL)
	if perr != nil {
		return doctor.Bad("correct server.url", "%v", perr)
	}
	var (
		status *httpguard.StatusError
		cert   *httpguard.CertificateError
		answer *updateserver.AnswerError
		hawk   *hawkbit.AnswerError
	)
	switch {
	case unseen(err):
		return doctor.Skip("%v: %s", err, asRoot)
	case errors.As(err, &cert):
		return doctor.Bad("openssl s_client -connect "+hostPort(u)+" -showcerts shows it; server.ca_file names who may vouch for it", "%v", err)
	case errors.As(err, &status):
		return doctor.Bad(statusAdvice(status.Status), "%v", err)
	case errors.As(err, &hawk):
		return doctor.Bad("see that server.url, and tenant and controller_id in server.hawkbit, are those of the hawkBit server", "%v", err)
	case errors.As(err, &answer):
		return doctor.Bad("see that server.url is the update server's address, and what it publishes for this SKU: ota-fleet list", "%v", err)
	}
	do, ok := networkAdvice(err, "server.url", u.Hostname(), hostPort(u))
	if !ok {
		do = "correct it, then `ota-agent config check`"
	}
	return doctor.Bad(do, "%v", err)
}

func statusAdvice(code int) string {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "see that server.token_file, or server.cert_file and key_file, hold what the server knows of this robot"
	case http.StatusNotFound:
		return "see that server.url is the base address alone, without /v1"
	case http.StatusTooManyRequests:
		return "wait, and see that no other robot has this robot.id"
	}
	return "look at the server's own log"
}

// networkAdvice is what to do about a host that is not reached; false: the
// error is not about that.
func networkAdvice(err error, key, host, hostPort string) (string, bool) {
	var (
		name *net.DNSError
		op   *net.OpError
	)
	switch {
	case errors.As(err, &name):
		return fmt.Sprintf("see that %s names the right host, and that this computer asks a name server: getent hosts %s; resolvectl status", key, host), true
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("start it: nothing listens on %s; or correct %s", hostPort, key), true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Sprintf("look at the network and the firewalls on the way: ip route get $(getent ahosts %s | head -n1 | cut -d' ' -f1); curl -v https://%s/", host, hostPort), true
	case errors.As(err, &op), errors.As(err, new(*httpguard.UnreachableError)):
		return fmt.Sprintf("see that %s is its address, and that it speaks TLS there: openssl s_client -connect %s", key, hostPort), true
	}
	return "", false
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
