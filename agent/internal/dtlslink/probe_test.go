package dtlslink

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/robot-platform/robot-ota/agent/internal/robot"
	simdtls "github.com/robot-platform/robot-ota/sim/dtls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const identity = "robot_01020304"

var key = []byte("0123456789abcdef")

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// firmware serves DTLS as the simulated firmware does.
func firmware(t *testing.T) *simdtls.Server {
	t.Helper()
	s, err := simdtls.Listen(simdtls.Config{Address: "127.0.0.1:0", Identity: identity, Key: key, Log: quiet()})
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

func probe(t *testing.T, cfg Config, board Board) *Probe {
	t.Helper()
	if cfg.Identity == "" {
		cfg.Identity = identity
	}
	if cfg.Key == nil {
		cfg.Key = key
	}
	p, err := New(cfg, board, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOnce(t *testing.T) {
	s := firmware(t)
	if took, err := probe(t, Config{Address: s.Addr()}, nil).Once(t.Context()); err != nil || took <= 0 {
		t.Errorf("%v, %v", took, err)
	}
	for name, cfg := range map[string]Config{
		"another identity": {Address: s.Addr(), Identity: "robot_ffffffff"},
		"another key":      {Address: s.Addr(), Key: make([]byte, KeySize), Timeout: 2 * time.Second},
		"nobody there":     {Address: deaf(t), Timeout: 300 * time.Millisecond},
	} {
		start := time.Now()
		_, err := probe(t, cfg, nil).Once(t.Context())
		if err == nil || errors.Is(err, ErrNotTried) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 8*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
	if _, err := probe(t, Config{Address: "no-such-host.invalid"}, nil).Once(t.Context()); !errors.Is(err, ErrNotTried) {
		t.Errorf("a name without an address is blamed on the firmware: %v", err)
	}
}

// deaf is the address of a socket that never answers.
func deaf(t *testing.T) string {
	t.Helper()
	c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String()
}

func TestRunPostsWhatItCounts(t *testing.T) {
	s := firmware(t)
	if err := s.SetFailures(0.5); err != nil {
		t.Fatal(err)
	}
	board := robot.NewBoard()
	p := probe(t, Config{Address: s.Addr(), Every: 10 * time.Millisecond}, board)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	news, end := board.News()
	defer end()
	for board.Facts().DTLS.Tries < 10 {
		select {
		case <-news:
		case <-time.After(20 * time.Second):
			t.Fatalf("only %+v", board.Facts().DTLS)
		}
	}
	cancel()
	<-done
	d := board.Facts().DTLS
	if d.Failures != d.Tries/2 || d.Latency <= 0 || d.At.IsZero() || (d.Err != "") != (d.Tries%2 == 0) {
		t.Errorf("%+v", d)
	}
}

func TestWhatCannotBeTriedIsNotCounted(t *testing.T) {
	seen := robot.DTLS{Tries: 3, Failures: 1}
	if got := count(seen, 0, ErrNotTried, time.Now()); got != seen {
		t.Errorf("%+v", got)
	}
}

func TestSpread(t *testing.T) {
	for range 1000 {
		if d := spread(30 * time.Second); d < 24*time.Second || d > 36*time.Second {
			t.Fatalf("%s", d)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Address: "10.0.0.2", Identity: identity, Key: key}
	if p, err := New(good, nil, quiet()); err != nil || p.port != DefaultPort || p.cfg.Every != DefaultEvery {
		t.Fatalf("%+v, %v", p, err)
	}
	for name, change := range map[string]func(*Config){
		"no host":      func(c *Config) { c.Address = ":5684" },
		"bad port":     func(c *Config) { c.Address = "h:0" },
		"no identity":  func(c *Config) { c.Identity = "" },
		"short key":    func(c *Config) { c.Key = key[:15] },
		"odd identity": func(c *Config) { c.Identity = "a\nb" },
	} {
		c := good
		change(&c)
		if _, err := New(c, nil, quiet()); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestOpenSSL shakes hands with a server that nobody here wrote, with each of
// the two cipher suites of the fleet.
func TestOpenSSL(t *testing.T) {
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl on this machine")
	}
	for _, cipher := range []string{"PSK-AES128-GCM-SHA256", "PSK-AES256-GCM-SHA384"} {
		t.Run(cipher, func(t *testing.T) {
			addr := deafPort(t)
			_, port, _ := net.SplitHostPort(addr)
			cmd := exec.CommandContext(t.Context(), path, "s_server", "-dtls1_2", "-accept", "127.0.0.1:"+port, "-nocert", //nolint:gosec // a test's own
				"-cipher", cipher, "-psk", "30313233343536373839616263646566", "-psk_identity", identity)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			in, err := cmd.StdinPipe() // its end is the server's
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = in.Close()
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				if t.Failed() {
					t.Logf("openssl said:\n%s", out.String())
				}
			}()
			p := probe(t, Config{Address: addr, Timeout: 2 * time.Second}, nil)
			var took time.Duration
			for end := time.Now().Add(15 * time.Second); ; { // until it listens
				if took, err = p.Once(t.Context()); err == nil || time.Now().After(end) {
					break
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("shook hands in %s", took)
			wrong := probe(t, Config{Address: addr, Key: make([]byte, KeySize), Timeout: 2 * time.Second}, nil)
			if _, err := wrong.Once(t.Context()); err == nil {
				t.Error("a wrong key has shaken hands")
			}
		})
	}
}

// deafPort is an address at which nobody listens now.
func deafPort(t *testing.T) string {
	t.Helper()
	c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}
