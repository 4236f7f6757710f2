package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/robot-platform/robot-ota/fleet/internal/ingest"
	"github.com/robot-platform/robot-ota/fleet/internal/metrics"
	"github.com/robot-platform/robot-ota/fleet/internal/mqttfleet"
	"github.com/robot-platform/robot-ota/fleet/internal/store"
)

// mqttLease is held by the one of several servers that talks to the broker.
const mqttLease = "mqtt"

// broker says how robots are talked to over MQTT.
type broker struct{ cfg mqttfleet.Config }

func (o *broker) flags(cmd *cobra.Command) {
	f, c := cmd.Flags(), &o.cfg
	f.StringVar(&c.URL, "mqtt-url", "", "the robots' broker: mqtts://host or mqtts://host:port; mqtt:// for one on this computer. Empty: none")
	f.StringVar(&c.CAFile, "mqtt-ca", "", "authorities (PEM) that vouch for the broker; empty: the system's")
	f.StringVar(&c.CertFile, "mqtt-cert", "", "client certificate (PEM) for the broker")
	f.StringVar(&c.KeyFile, "mqtt-key", "", "its private key (PEM, mode 0600)")
	f.StringVar(&c.Username, "mqtt-user", "", "user at the broker")
	f.StringVar(&c.PasswordFile, "mqtt-password-file", "", "file (mode 0600) with the user's password")
	f.StringVar(&c.ClientID, "mqtt-client-id", "ota-fleet", "client id at the broker; the same for all servers of a fleet")
	f.DurationVar(&c.KeepAlive, "mqtt-keepalive", 30*time.Second, "how long the line to the broker may be silent, in whole seconds")
}

// given says that there is a broker.
func (o *broker) given() bool { return o.cfg.URL != "" }

// link is the line to the broker.
func (o *broker) link(s *store.Store, in *ingest.Ingest, m *metrics.Metrics, log *slog.Logger) (*mqttfleet.Link, error) {
	cfg := o.cfg
	cfg.Now = time.Now
	l, err := mqttfleet.New(cfg, inbox{in}, commands{s}, m, log)
	if err != nil {
		return nil, fmt.Errorf("--mqtt-…: %w", err)
	}
	return l, nil
}

// talk talks to the broker whenever this server is the one that does.
func talk(ctx context.Context, l *mqttfleet.Link, s *store.Store, log *slog.Logger) {
	host, _ := os.Hostname() // for people; the rest makes it one of its kind
	err := s.Lead(ctx, mqttLease, host+"/"+rand.Text(), leaseFor, log, func(ctx context.Context, _ store.Lease) error {
		l.Run(ctx)
		return context.Cause(ctx)
	})
	if ctx.Err() == nil {
		log.Error("the robots' broker is not talked to any more", "err", err)
	}
}

// inbox hands messages on, those of topics that mean something.
type inbox struct{ *ingest.Ingest }

// Take stores messages.
func (i inbox) Take(ctx context.Context, messages []mqttfleet.Message) error {
	out := make([]ingest.Message, 0, len(messages))
	for _, m := range messages {
		if robot, kind, ok := ingest.Topic(m.Topic); ok {
			out = append(out, ingest.Message{Robot: robot, Kind: kind, Payload: m.Payload, Retained: m.Retained, Received: m.Received})
		}
	}
	return i.Ingest.Take(ctx, out)
}

// commands is the store's outbox.
type commands struct{ *store.Store }

// Sent notes what the broker has taken.
func (c commands) Sent(ctx context.Context, ids ...string) error {
	return c.Note(ctx, "sent", func(tx *store.Tx) error { return tx.Sent(ctx, ids...) })
}

// errNoBroker says what the other flags are for.
var errNoBroker = errors.New("--mqtt-user, --mqtt-cert and the like need --mqtt-url")

// check says what is wrong with the flags.
func (o *broker) check() error {
	if !o.given() && (o.cfg.Username != "" || o.cfg.PasswordFile != "" || o.cfg.CertFile != "" || o.cfg.KeyFile != "" || o.cfg.CAFile != "") {
		return errNoBroker
	}
	return nil
}

// A robot tells of its health every minute. One of which nothing came for so
// long is gone, whether or not a broker said its last will.
const (
	missAfter = 10 * time.Minute
	missEvery = time.Minute
)

// missRobots notes which robots are gone, until ctx ends.
func missRobots(ctx context.Context, s *store.Store, log *slog.Logger) {
	ticker := time.NewTicker(missEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		err := s.Note(ctx, "silence", func(tx *store.Tx) error {
			n, err := tx.Silence(ctx, time.Now().Add(-missAfter))
			if n > 0 {
				log.Warn("robots are not heard any more", "robots", n, "for", missAfter)
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			log.Warn("which robots are gone cannot be noted", "err", err)
		}
	}
}
