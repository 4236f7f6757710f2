package broker

import (
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Embedded is a broker in this process. Close ends it.
type Embedded struct {
	server             *mqtt.Server
	byPassword, byCert *Door
}

// Open starts a broker that listens when Open returns.
func Open(cfg Config, log *slog.Logger) (*Embedded, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("the broker's certificate: %w", err)
	}
	e := &Embedded{server: mqtt.New(&mqtt.Options{Logger: log})}
	if err := e.server.AddHook(&gate{cfg: cfg}, nil); err != nil {
		return nil, err
	}
	err = e.listen(cfg, pair)
	if err == nil {
		err = e.server.Serve()
	}
	if err != nil {
		return nil, errors.Join(err, e.server.Close())
	}
	return e, nil
}

func (e *Embedded) listen(cfg Config, pair tls.Certificate) error {
	add := func(id, address string, c *tls.Config) (*Door, error) {
		c.MinVersion, c.Certificates = tls.VersionTLS12, []tls.Certificate{pair}
		l := NewDoor(listeners.Config{ID: id, Address: address, TLSConfig: c})
		if err := e.server.AddListener(l); err != nil {
			return nil, fmt.Errorf("listen at %s: %w", address, err)
		}
		return l, nil
	}
	var err error
	if cfg.ByPassword != "" {
		if e.byPassword, err = add("password", cfg.ByPassword, &tls.Config{}); err != nil {
			return err
		}
	}
	if cfg.ByCert == "" {
		return nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return fmt.Errorf("authority of the clients' certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate in PEM form", cfg.CAFile)
	}
	e.byCert, err = add("certificate", cfg.ByCert, &tls.Config{ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	return err
}

// ByPassword and ByCert are the addresses at which the broker listens, "" for
// a way in that is closed.
func (e *Embedded) ByPassword() string { return address(e.byPassword) }

// ByCert is where clients come in by certificate.
func (e *Embedded) ByCert() string { return address(e.byCert) }

func address(l *Door) string {
	if l == nil {
		return ""
	}
	return l.Address()
}

// Close ends all connections and the broker.
func (e *Embedded) Close() error { return e.server.Close() }

// gate lets users in and keeps them where they belong.
type gate struct {
	mqtt.HookBase
	cfg Config
}

// ID names the hook.
func (*gate) ID() string { return "gate" }

// Provides says which questions the hook answers.
func (*gate) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}

// OnConnectAuthenticate decides who comes in. A last will where the user may
// not write is forgotten; the broker does not ask for the rule itself.
func (g *gate) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	user := string(pk.Connect.Username)
	if c, ok := cl.Net.Conn.(*tls.Conn); ok && len(c.ConnectionState().PeerCertificates) > 0 {
		user = c.ConnectionState().PeerCertificates[0].Subject.CommonName
		cl.Properties.Username = []byte(user)
	} else if want, ok := g.cfg.Users[user]; !ok || subtle.ConstantTimeCompare([]byte(want), pk.Connect.Password) != 1 {
		return false
	}
	if !g.cfg.reaches(user, pk.Connect.WillTopic) {
		cl.Properties.Will = mqtt.Will{}
	}
	return known(user)
}

// OnACLCheck decides what a client reaches.
func (g *gate) OnACLCheck(cl *mqtt.Client, topic string, _ bool) bool {
	return g.cfg.reaches(string(cl.Properties.Username), topic)
}
