package mqttlink

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/robot-platform/robot-ota/agent/internal/update"
	"github.com/robot-platform/robot-ota/sim/broker/brokertest"
)

func TestReachAndLogIn(t *testing.T) {
	brokers(t, func(t *testing.T, s *site) {
		good := s.config(t, "r1")
		byCert := good
		byCert.URL, byCert.PasswordFile = "mqtts://"+s.ByCert, ""
		byCert.CertFile, byCert.KeyFile = s.File("r1.pem"), s.File("r1.key")
		wrong := good
		wrong.PasswordFile = s.File("wrong")
		if err := os.WriteFile(wrong.PasswordFile, []byte("guess"), 0o600); err != nil {
			t.Fatal(err)
		}
		foreign := good // r2's user may not hear r1's commands
		foreign.Username = "r2"
		stranger := good
		stranger.CAFile = s.File("other.pem")
		open := good
		open.PasswordFile = s.File("open")
		if err := os.WriteFile(open.PasswordFile, []byte(brokertest.Password), 0o644); err != nil {
			t.Fatal(err)
		}
		nobody := byCert // no certificate where one is asked for
		nobody.CertFile, nobody.KeyFile = "", ""
		lost := byCert
		lost.KeyFile = s.File("none")
		away := good
		away.URL = "mqtts://" + brokertest.FreePort(t)
		for name, tt := range map[string]struct {
			cfg          Config
			reach, login func(error) bool
		}{
			"password":         {good, ok, ok},
			"certificate":      {byCert, ok, ok},
			"wrong password":   {wrong, ok, is(ErrLogin)},
			"another's topics": {foreign, ok, either(is(ErrTopics), is(ErrEcho))}, // Mosquitto grants every subscription
			"unknown CA":       {stranger, as[x509.UnknownAuthorityError], as[x509.UnknownAuthorityError]},
			"open password":    {open, ok, is(ErrSecret)},
			"no certificate":   {nobody, ok, failed},
			"key is missing":   {lost, is(fs.ErrNotExist), failed},
			"nobody there":     {away, failed, failed},
		} {
			t.Run(name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				addr, expires, err := Reach(ctx, tt.cfg)
				if !tt.reach(err) || addr != strings.TrimPrefix(tt.cfg.URL, "mqtts://") {
					t.Errorf("reach %s: %v", addr, err)
				}
				if err == nil && (time.Until(expires) > time.Hour || time.Until(expires) < 50*time.Minute) {
					t.Errorf("expires %s", expires)
				}
				if err := LogIn(ctx, tt.cfg); !tt.login(err) {
					t.Errorf("log in: %v", err)
				}
			})
		}
	})
}

func ok(err error) bool              { return err == nil }
func failed(err error) bool          { return err != nil }
func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
func either(a, b func(error) bool) func(error) bool {
	return func(err error) bool { return a(err) || b(err) }
}
func as[E error](err error) (yes bool) { var e E; return errors.As(err, &e) }

// A log-in beside the agent's leaves its session alone: no connection is lost,
// and a command that comes meanwhile is followed once.
func TestLogInBesideTheAgent(t *testing.T) {
	brokers(t, func(t *testing.T, s *site) {
		cfg := s.config(t, "r1")
		link, err := New(cfg, update.New(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if h := link.Health(); h.Connected || !h.Since.IsZero() {
			t.Errorf("not begun: %+v", h)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- link.Run(ctx, newFake()) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if h := link.Health(); h.Connected {
				t.Errorf("ended: %+v", h)
			}
		}()
		healthy := func(what string, ok func(Health) bool) Health {
			t.Helper()
			for range 500 {
				if h := link.Health(); ok(h) {
					return h
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Fatalf("never %s: %+v", what, link.Health())
			return Health{}
		}
		before := healthy("connected", func(h Health) bool { return h.Connected })
		for range 3 {
			if err := LogIn(ctx, cfg); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(200 * time.Millisecond)
		if now := link.Health(); !now.Connected || !now.Since.Equal(before.Since) {
			t.Errorf("the agent's session: %+v, before %+v", now, before)
		}
		s.Stop(t)
		lost := healthy("lost", func(h Health) bool { return !h.Connected && h.Err != "" })
		if lost.Since.Before(before.Since) {
			t.Errorf("%+v", lost)
		}
	})
}
