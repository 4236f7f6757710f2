package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robot-platform/robot-ota/firmware/image"
	"github.com/robot-platform/robot-ota/fleet/internal/api"
	"github.com/robot-platform/robot-ota/fleet/internal/certs"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// pipes is a listener in memory: nothing is read of a connection before the
// other side reads, and nothing hides in a kernel's buffers.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// hall is the server, whole, in fake time.
type hall struct {
	t    *testing.T
	l    pipes
	pool *x509.CertPool
	sum  string
}

func inFakeTime(t *testing.T, f func(h *hall)) {
	dir := t.TempDir()
	if err := makeImages(dir); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		h := &hall{t: t, l: make(pipes), pool: x509.NewCertPool()}
		if _, err := (devCerts{dir: dir, hosts: []string{"fleet"}, days: 1}).make(time.Now()); err != nil {
			t.Fatal(err)
		}
		ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if err != nil || !h.pool.AppendCertsFromPEM(ca) {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(dir, "data"), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		fresh, err := publish(t.Context(), s, filepath.Join(dir, "0.2.1.bin"), []string{filepath.Join(dir, "pub.der")}, image.ESP32S3, []string{"standard"}, true)
		if err != nil {
			t.Fatal(err)
		}
		h.sum = fresh[0].SHA256
		log := slog.New(slog.DiscardHandler)
		pair, err := certs.New(certs.Files{Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server-key.pem")}, time.Now, log)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		handler := api.New(api.Config{Identity: api.IdentityOptional, Downloads: 100, Now: time.Now}, api.FromStore(s), log)
		go func() { done <- answer(ctx, server(handler, pair.Config(), log), h.l, log) }()
		f(h)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (h *hall) connect() *tls.Conn {
	h.t.Helper()
	a, b := net.Pipe()
	h.l <- b
	c := tls.Client(a, &tls.Config{RootCAs: h.pool, ServerName: "fleet", NextProtos: []string{"http/1.1"}})
	if err := c.Handshake(); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// A client that sends or takes next to nothing is let go, and others are served
// all the while.
func TestSlowClients(t *testing.T) {
	for name, tt := range map[string]struct {
		slow     func(h *hall, c net.Conn) error // until the server has had enough
		at, most time.Duration
	}{
		"a head that never ends": {func(_ *hall, c net.Conn) error {
			_, err := io.WriteString(c, "GET /v1/manifest HTTP/1.1\r\nHost: x\r\n")
			_, rerr := io.Copy(io.Discard, c)
			return errors.Join(err, rerr)
		}, headTimeout, headTimeout + time.Second},
		"a head in drops": {func(_ *hall, c net.Conn) error {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_, err := io.WriteString(c, "GET /v1/manifest HTTP/1.1\r\n")
			for err == nil {
				_, err = io.WriteString(c, "X: y\r\n")
				time.Sleep(time.Second)
			}
			return nil
		}, headTimeout - time.Second, headTimeout + 3*time.Second},
		"a body in drops": {func(_ *hall, c net.Conn) error {
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_, err := io.WriteString(c, "POST /v1/report HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
			for err == nil {
				time.Sleep(time.Second)
				_, err = io.WriteString(c, " ")
			}
			return nil
		}, 0, readTimeout + 3*time.Second},
		"an artifact that is not taken": {func(h *hall, c net.Conn) error {
			if _, err := io.WriteString(c, "GET /v1/artifacts/"+h.sum+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return err
			}
			head := make([]byte, 1000)
			if _, err := io.ReadFull(c, head); err != nil || !strings.HasPrefix(string(head), "HTTP/1.1 200") {
				return errors.Join(errors.New("no answer"), err)
			}
			time.Sleep(65 * time.Second)
			n, _ := io.Copy(io.Discard, c)
			if n > 200_000 {
				return errors.New("it was served all the same")
			}
			return nil
		}, 65 * time.Second, 66 * time.Second},
		"nothing after a request": {func(_ *hall, c net.Conn) error {
			_, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
			_, rerr := io.Copy(io.Discard, c)
			return errors.Join(err, rerr)
		}, idleTimeout, idleTimeout + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(h *hall) {
				c := h.connect()
				defer c.Close()
				begun := time.Now()
				if err := tt.slow(h, c); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took < tt.at || took > tt.most {
					t.Errorf("let go after %v, want %v to %v", took, tt.at, tt.most)
				}
				other := h.connect()
				defer other.Close()
				_, err := io.WriteString(other, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				got, rerr := io.ReadAll(other)
				if err != nil || rerr != nil || !strings.HasPrefix(string(got), "HTTP/1.1 200") {
					t.Errorf("another client: %.100s, %v, %v", got, err, rerr)
				}
			})
		})
	}
}
