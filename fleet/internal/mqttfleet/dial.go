package mqttfleet

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/robot-platform/robot-ota/internal/bounded"
	"github.com/robot-platform/robot-ota/internal/mqttline"
)

// Bounds of a connection being made, and of the files that it needs.
const (
	maxPEM      = 256 << 10
	maxPassword = 1 << 10
	defaultID   = "ota-fleet"
)

// ErrConfig says that the configuration cannot be right.
var ErrConfig = errors.New("the broker cannot be used so")

// dialer makes sessions with the broker.
type dialer struct {
	cfg  Config
	id   string
	host string
	addr string
	tls  bool
}

func newDialer(cfg Config) (*dialer, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "mqtts" && u.Scheme != "mqtt" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: its address is to be mqtts://host or mqtts://host:port", ErrConfig)
	}
	d := &dialer{cfg: cfg, id: cmp.Or(cfg.ClientID, defaultID), host: u.Hostname(), tls: u.Scheme == "mqtts"}
	switch {
	case !d.tls && !loopback(d.host):
		return nil, fmt.Errorf("%w: mqtt is not protected on its way, and is for a broker on this computer alone: want mqtts", ErrConfig)
	case (cfg.CertFile == "") != (cfg.KeyFile == ""):
		return nil, fmt.Errorf("%w: a certificate and its key go together", ErrConfig)
	case cfg.PasswordFile != "" && cfg.Username == "":
		return nil, fmt.Errorf("%w: a password goes with a user's name", ErrConfig)
	case cfg.KeepAlive < time.Second || cfg.KeepAlive%time.Second != 0:
		return nil, fmt.Errorf("%w: MQTT counts whole seconds", ErrConfig)
	case cfg.Now == nil:
		return nil, fmt.Errorf("%w: without a clock", ErrConfig)
	}
	port := "1883"
	if d.tls {
		port = "8883"
	}
	d.addr = net.JoinHostPort(d.host, cmp.Or(u.Port(), port))
	if _, err := d.config(); err != nil {
		return nil, err
	}
	_, err = d.password()
	return d, err
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// dial connects to the broker, TLS included.
func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, mqttline.ConnectTime)
	defer cancel()
	nd := &net.Dialer{KeepAlive: 30 * time.Second}
	if !d.tls {
		return nd.DialContext(ctx, "tcp", d.addr)
	}
	c, err := d.config()
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{NetDialer: nd, Config: c}).DialContext(ctx, "tcp", d.addr)
}

func (d *dialer) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: d.host}
	if d.cfg.CAFile != "" {
		pem, err := bounded.File(d.cfg.CAFile, maxPEM)
		if err != nil {
			return nil, fmt.Errorf("%w: authorities: %w", ErrConfig, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: %s holds no certificate in PEM form", ErrConfig, d.cfg.CAFile)
		}
	}
	if d.cfg.CertFile == "" {
		return c, nil
	}
	cert, err := bounded.File(d.cfg.CertFile, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", ErrConfig, err)
	}
	key, err := bounded.Secret(d.cfg.KeyFile, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("%w: key: %w", ErrConfig, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate and key: %w", ErrConfig, err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// password is the user's, "" for none.
func (d *dialer) password() (string, error) {
	if d.cfg.PasswordFile == "" {
		return "", nil
	}
	b, err := bounded.Secret(d.cfg.PasswordFile, maxPassword)
	if err != nil {
		return "", fmt.Errorf("%w: password: %w", ErrConfig, err)
	}
	p := strings.TrimRight(string(b), "\r\n")
	if p == "" {
		return "", fmt.Errorf("%w: password: %s is empty", ErrConfig, d.cfg.PasswordFile)
	}
	return p, nil
}
