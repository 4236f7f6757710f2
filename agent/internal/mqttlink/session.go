package mqttlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// session is one connection to the broker.
type session interface {
	// subscribe asks for the commands.
	subscribe(ctx context.Context) error
	// publish says something below fleet/{robot_id}/ and waits until the
	// broker has it.
	publish(ctx context.Context, topic string, retained bool, payload []byte) error
	// lost is closed when the connection is gone; why then tells.
	lost() <-chan struct{}
	why() error
	// close says goodbye to the broker.
	close()
}

// delivery is a message that wants to be acknowledged.
type delivery struct {
	message
	ack func()
}

// Bounds of what a session waits for.
const (
	ackTime   = 20 * time.Second
	writeTime = 10 * time.Second
	pingTime  = 10 * time.Second
	goodbye   = 250 // milliseconds

	numberInUse    = 0x91 // MQTT 5, section 3.9.3
	subscribeTries = 40
	subscribePause = 250 * time.Millisecond
)

// Errors of a session.
var (
	errGone    = errors.New("the connection to the broker is gone")
	errSilent  = errors.New("the broker does not answer")
	errRefused = errors.New("the broker refuses the subscription to this robot's commands: its access rules must let this robot's user read fleet/{robot_id}/commands/#")
)

// pahoSession is a session by the Eclipse Paho client. There is one client for
// each connection, and it neither stores nor reconnects: what has to outlive
// the connection is in the outbox, and when to try again is talk's to decide.
type pahoSession struct {
	client mqtt.Client
	base   string
	once   sync.Once
	gone   chan struct{}
	cause  error // guarded by gone
}

func clientID(robotID string) string { return "ota-agent-" + robotID }

func base(robotID string) string { return "fleet/" + robotID + "/" }

// session connects. The messages of the broker go to arrived, which may block.
func (d *dialer) session(ctx context.Context, arrived func(delivery), last Online) (session, error) {
	user, password, err := d.login()
	if err != nil {
		return nil, err
	}
	will, err := json.Marshal(last)
	if err != nil {
		return nil, err
	}
	s := &pahoSession{base: base(d.cfg.RobotID), gone: make(chan struct{})}
	connected := func() bool { return true }
	o := d.options(clientID(d.cfg.RobotID), user, password, func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		conn, err := d.open(ctx)
		if err == nil { // until the broker has answered, ctx ends it; later, close does
			connected = context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}).
		SetCleanSession(false).SetOrderMatters(true).SetAutoAckDisabled(true).
		SetBinaryWill(s.base+"ota/online", will, 1, true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { s.arrived(m, arrived) }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.end(err) })
	s.client = mqtt.NewClient(o)
	token := s.client.Connect()
	<-token.Done() // within connectTime, or when ctx ends
	connected()
	if err := token.Error(); err != nil {
		return nil, fmt.Errorf("connect to the broker %s: %w", d.addr, err)
	}
	return s, nil
}

func (s *pahoSession) end(err error) {
	s.once.Do(func() {
		s.cause = fmt.Errorf("%w: %w", errGone, err)
		close(s.gone)
	})
}

func (s *pahoSession) lost() <-chan struct{} { return s.gone }

func (s *pahoSession) why() error {
	<-s.gone
	return s.cause
}

// arrived takes messages under this robot's own topics; there should be no
// others.
func (s *pahoSession) arrived(m mqtt.Message, arrived func(delivery)) {
	name, ours := strings.CutPrefix(m.Topic(), s.base+"commands/")
	for _, v := range verbs() {
		if ours && name == string(v) {
			arrived(delivery{message{v, m.Payload(), m.Retained(), m.Duplicate()}, m.Ack})
			return
		}
	}
	m.Ack()
}

func (s *pahoSession) subscribe(ctx context.Context) error {
	for _, v := range verbs() { // one by one: what a broker answers to many at once may not fit the question
		if err := s.subscribeTo(ctx, s.base+"commands/"+string(v)); err != nil {
			return err
		}
	}
	return nil
}

// options are those of every connection.
func (d *dialer) options(id, user, password string, open func(*url.URL, mqtt.ClientOptions) (net.Conn, error)) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker("tcp://" + d.addr).
		SetProtocolVersion(4).SetClientID(id).SetUsername(user).SetPassword(password).
		SetAutoReconnect(false).SetConnectRetry(false).SetKeepAlive(d.cfg.KeepAlive).SetPingTimeout(min(pingTime, d.cfg.KeepAlive)).
		SetConnectTimeout(connectTime).SetWriteTimeout(writeTime).SetCustomOpenConnectionFn(open)
}

// subscribeTo asks again where the broker says that the packet's number is in
// use: mochi does as long as a message of its own with that number is not
// acknowledged.
func (s *pahoSession) subscribeTo(ctx context.Context, topic string) error {
	for tries := 1; ; tries++ {
		token := s.client.Subscribe(topic, 1, nil)
		if err := s.wait(ctx, token); err != nil {
			return fmt.Errorf("subscribe to %s: %w", topic, err)
		}
		t, ok := token.(*mqtt.SubscribeToken)
		if !ok || t.Result()[topic] <= 2 {
			return nil
		}
		if t.Result()[topic] != numberInUse || tries == subscribeTries {
			return fmt.Errorf("subscribe to %s: %w", topic, errRefused)
		}
		pause := time.NewTimer(subscribePause)
		select {
		case <-pause.C:
		case <-s.gone:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

func (s *pahoSession) publish(ctx context.Context, topic string, retained bool, payload []byte) error {
	if err := s.wait(ctx, s.client.Publish(s.base+topic, 1, retained, payload)); err != nil {
		return fmt.Errorf("publish on %s%s: %w", s.base, topic, err)
	}
	return nil
}

func (s *pahoSession) wait(ctx context.Context, token mqtt.Token) error {
	t := time.NewTimer(ackTime)
	defer t.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-s.gone:
		return s.cause
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return errSilent
	}
}

func (s *pahoSession) close() {
	s.client.Disconnect(goodbye)
	s.end(errors.New("closed"))
}
