package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/robot-platform/robot-ota/firmware/compat"
	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/fleet/internal/release"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
	"github.com/robot-platform/robot-ota/sim/testimage"
)

// The fleet's firmware.
func versions() (stable, bad compat.Version) {
	return compat.Version{Minor: 2}, compat.Version{Minor: 2, Patch: 1}
}

// plant is a server with its fleet, and a broker.
type plant struct {
	o      options
	dir    string
	token  []string
	tls    *tls.Config
	url    string
	server *exec.Cmd
	broker *exec.Cmd
	mqtt   string // host:port of the broker; "": none
}

func (o options) robot(i int) string { return fmt.Sprintf("robot-%05d", i) }

func newPlant(ctx context.Context, o options, dir string) (*plant, error) {
	p := &plant{o: o, dir: dir, token: make([]string, o.robots)}
	if err := p.furnish(ctx); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, o.program, "dev-cert", "--dir", filepath.Join(dir, "tls")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w", out, err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "tls", "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	p.tls = &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}
	if o.mosquitto != "" {
		if err := p.startBroker(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.startServer(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// furnish fills the store: robots with tokens, and what they run. It writes where
// a server would, before there is one.
func (p *plant) furnish(ctx context.Context) (err error) {
	s, err := store.Open(ctx, store.Options{Dir: p.dir, DB: p.o.db, Now: time.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := publish(ctx, s); err != nil {
		return err
	}
	all := make([]int, p.o.robots)
	for i := range all {
		all[i] = i
	}
	_, bad := versions()
	for part := range slices.Chunk(all, 1000) {
		err := s.Update(ctx, "robots", func(tx *store.Tx) error {
			for _, i := range part {
				p.token[i] = rand.Text() + rand.Text()
				id := p.o.robot(i)
				if err := tx.AddRobot(ctx, store.Robot{ID: id, SKU: "standard", Companion: compat.Version{Minor: 2}}); err != nil {
					return err
				}
				if err := tx.SetToken(ctx, id, p.token[i]); err != nil {
					return err
				}
				if err := tx.SetState(ctx, id, store.RobotState{Version: bad, Received: time.Now(), Online: true}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// publish has a stable release, and one that is to be called back.
func publish(ctx context.Context, s *store.Store) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	pub, err := image.NewKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := s.Update(ctx, "key", func(tx *store.Tx) error {
		_, err := tx.AddKey(ctx, pub, "bench")
		return err
	}); err != nil {
		return err
	}
	stable, bad := versions()
	for _, v := range []compat.Version{stable, bad} {
		app, err := testimage.Build(testimage.Spec{Version: v.String()})
		if err != nil {
			return err
		}
		signed, err := image.Sign(app, key)
		if err != nil {
			return err
		}
		fresh, err := release.Prove(signed, image.NewKeyring(pub), image.ESP32S3, []string{"standard"}, time.Now())
		if err != nil {
			return err
		}
		fresh[0].Status, fresh[0].By, fresh[0].Reason = release.Stable, "bench", "bench"
		if err := s.Publish(ctx, signed, fresh); err != nil {
			return err
		}
	}
	return nil
}

// startBroker starts Mosquitto without TLS: what is measured is who waits for
// whom, and this machine is its only client.
func (p *plant) startBroker(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.mqtt = l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(p.mqtt)
	if err != nil {
		return err
	}
	conf := filepath.Join(p.dir, "mosquitto.conf")
	text := "listener " + port + " 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_type error\nuser root\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	p.broker = exec.CommandContext(ctx, p.o.mosquitto, "-c", conf)
	p.broker.Stderr = os.Stderr
	if err := p.broker.Start(); err != nil {
		return err
	}
	return until(ctx, 10*time.Second, func() bool {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.mqtt)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
}

func (p *plant) startServer(ctx context.Context) error {
	args := []string{"serve", "--data", p.dir, "--listen", "127.0.0.1:0",
		"--tls-cert", filepath.Join(p.dir, "tls", "server.pem"), "--tls-key", filepath.Join(p.dir, "tls", "server-key.pem")}
	if p.mqtt != "" {
		args = append(args, "--mqtt-url", "mqtt://"+p.mqtt)
	}
	log, err := os.Create(filepath.Join(p.dir, "server.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p.server = exec.CommandContext(ctx, p.o.program, args...)
	p.server.Env = append(os.Environ(), "OTA_FLEET_DB="+p.o.db)
	p.server.Stderr = log
	out, err := p.server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.server.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "listening on "); ok {
			p.url = at
			go func() { // until the server ends: it must not wait for a reader
				for lines.Scan() {
				}
			}()
			return nil
		}
	}
	text, _ := os.ReadFile(log.Name())
	return fmt.Errorf("the server does not listen: %s", text)
}

// close ends server and broker.
func (p *plant) close() error {
	var failed error
	for _, c := range []*exec.Cmd{p.server, p.broker} {
		if c == nil || c.Process == nil {
			continue
		}
		if err := c.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			failed = errors.Join(failed, err)
		}
		_ = c.Wait() // how it ended was asked for
	}
	return failed
}

// until waits until ok says so.
func until(ctx context.Context, most time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
