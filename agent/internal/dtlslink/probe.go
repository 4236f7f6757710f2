package dtlslink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/pion/dtls/v3"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
)

// DefaultPort is the firmware's (IANA: coaps).
const DefaultPort = "5684"

// Defaults of Config.
const (
	DefaultEvery   = 30 * time.Second
	DefaultTimeout = 5 * time.Second
)

// retransmit is after how long a lost flight is sent again at first (RFC 6347,
// section 4.2.4.1 has one second); on the robot's own network half will do.
const retransmit = 500 * time.Millisecond

// Config of a probe.
type Config struct {
	// Address of the firmware's server, host or host:port.
	Address string
	// Identity and Key are the pre-shared key.
	Identity string
	Key      []byte
	// Every is the time from one handshake to the next, give or take a fifth;
	// 0: DefaultEvery.
	Every time.Duration
	// Timeout of a handshake; 0: DefaultTimeout.
	Timeout time.Duration
}

// Board takes what the probe finds. Post must return at once.
type Board interface {
	Post(o robot.Observation)
}

// Probe is the DTLS client.
type Probe struct {
	cfg   Config
	host  string
	port  string
	board Board
	log   *slog.Logger
}

// New checks the configuration.
func New(cfg Config, board Board, log *slog.Logger) (*Probe, error) {
	if cfg.Every <= 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	host, port, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		host, port = cfg.Address, DefaultPort
	}
	if n, err := strconv.Atoi(port); host == "" || err != nil || n < 1 || n > 65535 {
		return nil, fmt.Errorf("DTLS address %q: want host or host:port", cfg.Address)
	}
	if err := checkIdentity(cfg.Identity); err != nil {
		return nil, fmt.Errorf("DTLS identity %q: %w", cfg.Identity, err)
	}
	if len(cfg.Key) != KeySize {
		return nil, fmt.Errorf("DTLS key: it has %d bytes, want %d", len(cfg.Key), KeySize)
	}
	return &Probe{cfg: cfg, host: host, port: port, board: board, log: log}, nil
}

// ErrNotTried says that the handshake could not even be sent, so that its
// failure tells nothing of the firmware.
var ErrNotTried = errors.New("the firmware's DTLS server could not be tried")

// Run shakes hands until ctx ends, and posts what came of it each time.
func (p *Probe) Run(ctx context.Context) {
	var seen robot.DTLS
	timer := time.NewTimer(spread(min(p.cfg.Every, time.Second)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		took, err := p.Once(ctx)
		if ctx.Err() != nil {
			return
		}
		was := seen
		seen = count(seen, took, err, time.Now())
		p.tell(was, seen, err)
		if !errors.Is(err, ErrNotTried) {
			p.board.Post(seen)
		}
		timer.Reset(spread(p.cfg.Every))
	}
}

// spread is d give or take a fifth, so that a fleet does not beat as one.
func spread(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1) //nolint:gosec // no secret
}

func count(seen robot.DTLS, took time.Duration, err error, now time.Time) robot.DTLS {
	if errors.Is(err, ErrNotTried) {
		return seen
	}
	seen.Tries++
	seen.At = now
	if err != nil {
		seen.Failures++
		seen.Err = err.Error()
		return seen
	}
	seen.Latency, seen.Err = took, ""
	return seen
}

// tell logs what has changed, not each handshake.
func (p *Probe) tell(was, is robot.DTLS, err error) {
	switch {
	case errors.Is(err, ErrNotTried):
		p.log.Debug("DTLS probe", "err", err)
	case is.Err != "" && was.Err == "":
		p.log.Warn("the firmware's DTLS server does not shake hands", "address", net.JoinHostPort(p.host, p.port), "err", err)
	case is.Err == "" && (was.Err != "" || was.Tries == 0):
		p.log.Info("the firmware's DTLS server shakes hands", "address", net.JoinHostPort(p.host, p.port), "took", is.Latency)
	}
}

// Once shakes hands once and says how long it took.
func (p *Probe) Once(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	addr, err := p.resolve(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotTried, err)
	}
	start := time.Now()
	conn, err := dtls.DialWithOptions("udp", addr,
		dtls.WithPSK(func([]byte) ([]byte, error) { return p.cfg.Key, nil }),
		dtls.WithPSKIdentityHint([]byte(p.cfg.Identity)),
		dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_GCM_SHA256),
		dtls.WithCustomCipherSuites(func() []dtls.CipherSuite { return []dtls.CipherSuite{&pskAES256{}} }),
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
		dtls.WithFlightInterval(retransmit),
	)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotTried, err)
	}
	err = conn.HandshakeContext(ctx)
	took := time.Since(start)
	_ = conn.Close()
	if err != nil {
		return 0, fmt.Errorf("DTLS handshake with %s: %w", addr, err)
	}
	return took, nil
}

func (p *Probe) resolve(ctx context.Context) (*net.UDPAddr, error) {
	port, err := strconv.Atoi(p.port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, p.host)
	if err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("%s has no address", p.host)
	}
	return &net.UDPAddr{IP: ips[0].IP, Zone: ips[0].Zone, Port: port}, nil
}
