package mqttlink

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/robot-platform/robot-ota/internal/mqttline"
)

// Refusals of a broker, for decisions.
var (
	// ErrLogin: the broker does not know this user, or not by this password
	// or certificate.
	ErrLogin = errors.New("the broker refuses the log-in")
	// ErrTopics: the user may not hear this robot's commands.
	ErrTopics = errRefused
	// ErrEcho: what was published under the robot's own topics did not come
	// back. Most brokers drop what may not be published, or not be heard, and
	// say nothing.
	ErrEcho = errors.New("a message under this robot's own topics did not come back")
	// ErrSecret: the files of certificate, key or password cannot be used.
	ErrSecret = errors.New("what the broker is to be shown")
)

// Reach connects to the broker, as far as TLS, and says when the first of the
// certificates that it showed expires; zero: it showed none. Addr is where
// that was.
func Reach(ctx context.Context, cfg Config) (addr string, expires time.Time, err error) {
	d, err := newDialer(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", time.Time{}, err
	}
	if d.tls {
		if _, err := d.config(); err != nil {
			return d.addr, time.Time{}, fmt.Errorf("%w: %w", ErrSecret, err)
		}
	}
	conn, err := d.dial(ctx)
	if err != nil {
		return d.addr, time.Time{}, err
	}
	defer conn.Close() //nolint:errcheck // only looked at
	if t, ok := conn.(*tls.Conn); ok {
		for _, c := range t.ConnectionState().PeerCertificates {
			if expires.IsZero() || c.NotAfter.Before(expires) {
				expires = c.NotAfter
			}
		}
	}
	return d.addr, expires, nil
}

// echoTopic, below fleet/{robot_id}/, is where LogIn talks to itself.
const (
	echoTopic = "ota/doctor"
	echoTime  = 3 * time.Second
)

// LogIn logs in as the robot would, by a client id of its own that begins with
// ota-doctor-, in a session that the broker forgets; asks for the robot's
// commands; sends a word to itself on fleet/{robot_id}/ota/doctor; and leaves.
// The agent's own session is another, and goes on; but a broker that makes
// client ids out of user names would end it, so this is for when the agent is
// not connected. Errors: ErrSecret, ErrLogin, ErrTopics, ErrEcho, and what the
// network says.
func LogIn(ctx context.Context, cfg Config) error {
	d, err := newDialer(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	user, password, err := d.login()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSecret, err)
	}
	word := strings.ToLower(rand.Text()[:8])
	heard := make(chan struct{}, 1)
	s := &brokerSession{base: base(cfg.RobotID)}
	o := mqttline.Options("ota-doctor-"+word, user, password, cfg.KeepAlive).SetCleanSession(true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { // commands are the agent's
			if m.Topic() == s.base+echoTopic && string(m.Payload()) == word {
				select {
				case heard <- struct{}{}:
				default:
				}
			}
		})
	if s.line, err = mqttline.Connect(ctx, d.addr, d.dial, o); err != nil {
		return refused(d.addr, err)
	}
	defer s.close()
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	if err := s.subscribeTo(ctx, s.base+echoTopic); err != nil {
		return fmt.Errorf("%w: %w", ErrEcho, err)
	}
	if err := s.publish(ctx, echoTopic, false, []byte(word)); err != nil { // some hang up on who may not
		return fmt.Errorf("%w: %w", ErrEcho, err)
	}
	return s.await(ctx, heard)
}

// await waits for the word to come back.
func (s *brokerSession) await(ctx context.Context, heard <-chan struct{}) error {
	t := time.NewTimer(echoTime)
	defer t.Stop()
	select {
	case <-heard:
		return nil
	case <-s.lost():
		return s.why()
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return fmt.Errorf("%w: %s%s", ErrEcho, s.base, echoTopic)
	}
}

// refused tells the refusals of MQTT 3.1.1 (section 3.2.2.3) that are about
// who comes from other failures.
func refused(addr string, err error) error {
	for _, who := range []error{packets.ErrorRefusedBadUsernameOrPassword, packets.ErrorRefusedNotAuthorised, packets.ErrorRefusedIDRejected} {
		if errors.Is(err, who) {
			return fmt.Errorf("%w: %s says: %w", ErrLogin, addr, err)
		}
	}
	return fmt.Errorf("connect to the broker %s: %w", addr, err)
}
