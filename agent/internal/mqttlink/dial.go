package mqttlink

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
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
)

// dialer makes sessions with the broker. Certificates and password are read
// for each, so that renewed ones are taken without a restart.
type dialer struct {
	cfg  Config
	host string
	addr string
	tls  bool
	log  *slog.Logger
}

func newDialer(cfg Config, log *slog.Logger) (*dialer, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "mqtts" && u.Scheme != "mqtt" {
		return nil, fmt.Errorf("mqtt.url: %q is no broker: want mqtts://host:port", cfg.URL)
	}
	d := &dialer{cfg: cfg, host: u.Hostname(), tls: u.Scheme == "mqtts", log: log}
	port := "1883"
	if d.tls {
		port = "8883"
	}
	d.addr = net.JoinHostPort(d.host, cmp.Or(u.Port(), port))
	return d, nil
}

// dial connects to the broker, TLS included.
func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, mqttline.ConnectTime)
	defer cancel()
	if d.cfg.Dial != nil {
		return d.cfg.Dial(ctx)
	}
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
			return nil, fmt.Errorf("mqtt.ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("mqtt.ca_file: %s holds no certificate in PEM form", d.cfg.CAFile)
		}
	}
	if d.cfg.CertFile == "" {
		return c, nil
	}
	cert, err := bounded.File(d.cfg.CertFile, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("mqtt.cert_file: %w", err)
	}
	key, err := bounded.Secret(d.cfg.KeyFile, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("mqtt.key_file: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("mqtt.cert_file and key_file: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// login is the user name and password, "" for none.
func (d *dialer) login() (user, password string, err error) {
	if d.cfg.PasswordFile == "" {
		return d.cfg.Username, "", nil
	}
	b, err := bounded.Secret(d.cfg.PasswordFile, maxPassword)
	if err != nil {
		return "", "", fmt.Errorf("mqtt.password_file: %w", err)
	}
	if password = strings.TrimRight(string(b), "\r\n"); password == "" {
		return "", "", fmt.Errorf("mqtt.password_file: %s is empty", d.cfg.PasswordFile)
	}
	return cmp.Or(d.cfg.Username, d.cfg.RobotID), password, nil
}
