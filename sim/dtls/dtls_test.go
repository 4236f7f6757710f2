package dtls

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, up func() bool) *Server {
	t.Helper()
	s, err := Listen(Config{Address: "127.0.0.1:0", Identity: "robot_01020304", Key: make([]byte, 16), Up: up, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func shake(t *testing.T, s *Server, identity string) error {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c, err := dtls.DialWithOptions("udp", addr, dtls.WithPSK(func([]byte) ([]byte, error) { return make([]byte, 16), nil }),
		dtls.WithPSKIdentityHint([]byte(identity)), dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_GCM_SHA256))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	return c.HandshakeContext(ctx)
}

func TestFailsAsOftenAsToldTo(t *testing.T) {
	s := serve(t, nil)
	for _, tt := range []struct {
		rate float64
		want uint64 // of 8
	}{{0, 0}, {0.25, 2}, {1, 8}} {
		if err := s.SetFailures(tt.rate); err != nil {
			t.Fatal(err)
		}
		failed := uint64(0)
		for range 8 {
			if err := shake(t, s, "robot_01020304"); err != nil {
				failed++
			}
		}
		if failed != tt.want {
			t.Errorf("rate %v: %d of 8 failed, want %d", tt.rate, failed, tt.want)
		}
	}
	if c := s.Count(); c.Failures != 10 || c.Tries != 24 {
		t.Errorf("%+v", c)
	}
	if err := s.SetFailures(1.1); err == nil {
		t.Error("110 % was taken")
	}
}

func TestForeignersAndTheDeadGetNothing(t *testing.T) {
	if err := shake(t, serve(t, nil), "robot_ffffffff"); err == nil {
		t.Error("an unknown identity was let in")
	}
	if err := shake(t, serve(t, func() bool { return false }), "robot_01020304"); err == nil {
		t.Error("a firmware that is down has shaken hands")
	}
}
